"""Find a run of an older format, so that it is named and not started again."""

from __future__ import annotations

from pathlib import Path

import yaml

from collapse_lab.config.signature import run_identity
from collapse_lab.engine.keys import digest
from collapse_lab.errors import UserError
from collapse_lab.storage.formats import CONFIG, FORMAT, format_of, upgraded
from collapse_lab.types import RunInfo


def refuse_older_format(info: RunInfo) -> None:
    """Refuse to start a run that an earlier version of the program has begun or finished.

    Raises:
        UserError: a folder beside the run's own holds the same configuration in an older format.
    """
    if info.folder.exists() or not info.folder.parent.is_dir():
        return
    for folder in sorted(info.folder.parent.iterdir()):
        if (folder / CONFIG).is_file() and (older := format_of(folder)) < FORMAT and _same_run(folder, info.signature):
            raise UserError(
                f"{folder} holds this run in format {older}, which an earlier version of collapse_lab wrote; "
                f"report and verify read it as it is. To compute it anew in format {FORMAT}, move that folder "
                "away or give another paths.runs"
            )


def _same_run(folder: Path, signature: str) -> bool:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        config = yaml.load((folder / CONFIG).read_bytes(), Loader=loader)
        return digest(run_identity(upgraded(config)), 12) == signature
    except (yaml.YAMLError, UserError, KeyError, TypeError, AttributeError):
        return False  # because a configuration that cannot be read any more is another run
