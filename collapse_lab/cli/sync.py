"""`collapse-lab sync PATH...`: upload offline W&B mirrors, each once for each state of it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from collapse_lab.cli.upload import run_id, upload
from collapse_lab.errors import UserError

MARKER = "collapse_lab.synced"
PATIENCE = 300.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Upload what waits for it.

    Args:
        arguments: the command line without the program's name; None takes that of this process.

    Returns:
        Exit code 0 when all is uploaded, 1 when an upload failed, 2 for bad input.
    """
    parser = argparse.ArgumentParser(
        prog="collapse-lab sync",
        description="Upload the offline W&B runs below each PATH, except those already uploaded.",
        epilog="Exit code: 0 all uploaded; 1 an upload failed; 2 bad input.",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="run folders, or folders of runs")
    parser.add_argument("--dry-run", action="store_true", help="say what would be uploaded, and upload nothing")
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE,
        metavar="SECONDS",
        help=f"give up after so many seconds without a word of wandb (default {PATIENCE:g})",
    )
    options = parser.parse_args(arguments)
    try:
        mirrors = offline_runs(options.paths)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    waiting = [mirror for mirror in mirrors if _length(mirror) != _synced(mirror)]
    print(f"{len(mirrors)} offline runs, {len(mirrors) - len(waiting)} of them uploaded already")
    if options.dry_run:
        for mirror in waiting:
            print(f"would upload {mirror}")
        return 0
    failed = sum(not _uploaded(group, options.patience) for group in _groups(waiting))
    if failed:
        print(
            "some uploads failed. Check the key (`wandb login`), the entity and the project; the same command again "
            "retries them",
            file=sys.stderr,
        )
    return 1 if failed else 0


def offline_runs(paths: Sequence[Path]) -> list[Path]:
    """Return the offline run folders of W&B at or below `paths`, sorted; hidden folders are not entered.

    Raises:
        UserError: a path is missing.
    """
    mirrors: set[Path] = set()
    for path in paths:
        if not path.is_dir():
            raise UserError(f"expected a run folder or a folder of runs, and '{path}' is not there")
        for folder, below, files in os.walk(path):
            below[:] = [name for name in below if not name.startswith(".")]
            if Path(folder).name.startswith("offline-run-") and any(f.endswith(".wandb") for f in files):
                mirrors.add(Path(folder).resolve())
                below.clear()
    return sorted(mirrors)


def _groups(mirrors: Sequence[Path]) -> list[list[Path]]:
    """Return the mirrors in groups that are uploaded together: those of one run come one after the other."""
    groups: list[dict[str, Path]] = []
    for mirror in mirrors:
        run = run_id(mirror)
        free = next((group for group in groups if run not in group), None)
        if free is None:
            groups.append(free := {})
        free[run] = mirror
    return [list(group.values()) for group in groups]


def _uploaded(mirrors: Sequence[Path], patience: float) -> bool:
    """Upload mirrors, say what became of each, and return whether all were uploaded."""
    # Lengths are taken before the upload, because a run that still goes on writes meanwhile: the next sync sends that
    lengths = [_length(mirror) for mirror in mirrors]
    outcome = upload(mirrors, patience)
    for mirror, length in zip(mirrors, lengths, strict=True):
        why = outcome[mirror]
        if why is None:
            (mirror / MARKER).write_text(str(length))
            print(f"uploaded {mirror}")
        else:
            print(f"failed {mirror}: {why}", file=sys.stderr)
    return not any(outcome.values())


def _length(mirror: Path) -> int:
    # Bytes and not records, because closing a run adds its table and summary after the last record
    return sum(file.stat().st_size for file in mirror.glob("*.wandb"))


def _synced(mirror: Path) -> int:
    try:
        return int((mirror / MARKER).read_text())
    except (OSError, ValueError):
        return -1


if __name__ == "__main__":
    sys.exit(main())
