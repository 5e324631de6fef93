"""What was run: the settings that all runs share, and where the numbers come from."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from collapse_lab.report.section import Section
from collapse_lab.results.collect import ASIDE, Collection

_ABSENT = object()


def settings(collection: Collection) -> Section:
    """The configuration as yaml; in a sweep, what all its runs have in common."""
    shared: Any = collection.runs[0].config
    for run in collection.runs[1:]:
        shared = _common(shared, run.config)
    shared = {key: value for key, value in shared.items() if key not in ASIDE}
    text = yaml.safe_dump(shared, sort_keys=False, allow_unicode=True, width=100)
    several = len(collection.runs) > 1
    note = "Shared by all runs; what differs is in the table above." if several else ""
    return Section("Configuration", "text.html.j2", {"text": text}, note, folded=True)


def provenance(collection: Collection) -> Section:
    """Signatures, what the features were made with, and the versions that drew this page."""
    lines = [f"{run.name}  {run.signature}  seed {run.seed}  {run.status}" for run in collection.runs[:200]]
    lines += [f"… and {len(collection.runs) - 200:,} more"] if len(collection.runs) > 200 else []
    latest = next(run for run in collection.runs if run.records)
    prints: dict[str, Any] = {"made with": _made_with(latest.folder)} if _made_with(latest.folder) else {}
    prints |= {"features": latest.fingerprints, "stages of the last generation": latest.records[-1].keys}
    drawn = {
        "page drawn with": {"python": platform.python_version()}
        | {p: _version(p) for p in ("collapse-lab", "matplotlib")}
    }
    text = "\n".join(lines) + "\n\n" + yaml.safe_dump(prints | drawn, sort_keys=False, allow_unicode=True, width=100)
    return Section("Provenance", "text.html.j2", {"text": text}, folded=True)


def _made_with(folder: Path) -> Any:
    """What the run wrote about its own code and libraries; None where it wrote nothing."""
    try:
        told = json.loads((folder / "provenance.json").read_text())
    except (OSError, ValueError):
        return None
    # A page is passed on; where things lie on the machine that made it is nobody's business.
    return {key: told[key] for key in ("commit", "dirty", "started", "python", "packages", "machine") if key in told}


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
