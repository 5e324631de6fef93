"""What was run: the settings that all runs share, and where the numbers come from."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from collapse_lab.report.section import Section
from collapse_lab.results.collect import Collection
from collapse_lab.results.settings import IGNORED_SETTINGS
from collapse_lab.storage.formats import ENVIRONMENT, OLDER_ENVIRONMENT, SKIPPED

_ABSENT = object()


def settings(collection: Collection) -> Section:
    """Return the configuration as yaml; of a sweep, the settings that all its runs share.

    Args:
        collection: The runs of the page.

    Returns:
        The section.
    """
    shared: Any = collection.runs[0].config
    for run in collection.runs[1:]:
        shared = _common(shared, run.config)
    shared = {key: value for key, value in shared.items() if key not in IGNORED_SETTINGS}
    text = yaml.safe_dump(shared, sort_keys=False, allow_unicode=True, width=100)
    several = len(collection.runs) > 1
    told = "The table “Runs” shows the settings that tell the runs apart, and its CSV all that differ."
    note = f"All runs share these settings. {told}" if several else ""
    return Section("Configuration", "text.html.j2", {"text": text}, note, folded=True)


def provenance(collection: Collection) -> Section:
    """Return the signatures of the runs, what the features were made with, and the versions that drew the page.

    Args:
        collection: The runs of the page.

    Returns:
        The section.
    """
    lines = [f"{run.name}  {run.signature}  seed {run.seed}  {run.status}" for run in collection.runs[:200]]
    lines += [f"… and {len(collection.runs) - 200:,} more"] if len(collection.runs) > 200 else []
    latest = next(run for run in collection.runs if run.records)
    versions = _provenance_of(latest.folder)
    made_with: dict[str, Any] = {"made with": versions} if versions else {}
    if skipped := _skipped(latest.folder):
        made_with["pictures that cannot be read"] = f"{skipped} left out; {SKIPPED} in the folder of the run names them"
    made_with |= {"features": latest.fingerprints, "stages of the last generation": latest.records[-1].keys}
    drawn_with = {
        "page drawn with": {"python": platform.python_version()}
        | {package: _version(package) for package in ("collapse-lab", "matplotlib")}
    }
    yaml_text = yaml.safe_dump(made_with | drawn_with, sort_keys=False, allow_unicode=True, width=100)
    text = "\n".join(lines) + "\n\n" + yaml_text
    return Section("Provenance", "text.html.j2", {"text": text}, folded=True)


def _provenance_of(folder: Path) -> Any:
    """Return what a run wrote about its own code and libraries; None where it wrote nothing."""
    names = (ENVIRONMENT, OLDER_ENVIRONMENT)
    path = next((folder / name for name in names if (folder / name).exists()), folder / ENVIRONMENT)
    try:
        written = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    # Readers pass a page on, so leave out where files lie on the machine that made it.
    public = ("commit", "dirty", "started", "python", "packages", "machine")
    return {key: written[key] for key in public if key in written}


def _skipped(folder: Path) -> int:
    """Return how many pictures of its data set a run left out."""
    try:
        return len((folder / SKIPPED).read_text().splitlines())
    except OSError:  # because all could be read, or an earlier version wrote the run
        return 0


def _common(a: Any, b: Any) -> Any:
    if isinstance(a, dict) and isinstance(b, dict):
        both = {key: _common(a[key], b[key]) for key in a if key in b}
        return {key: value for key, value in both.items() if value is not _ABSENT}
    return a if a == b else _ABSENT


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
