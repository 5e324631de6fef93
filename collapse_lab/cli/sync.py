"""`collapse-lab sync PATH...`: upload offline W&B mirrors, each once for each state of it."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from collapse_lab.errors import UserError

MARKER = "collapse_lab.synced"


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
    options = parser.parse_args(arguments)
    try:
        mirrors = offline_runs(options.paths)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    waiting = [mirror for mirror in mirrors if _length(mirror) != _synced(mirror)]
    print(f"{len(mirrors)} offline runs, {len(mirrors) - len(waiting)} of them uploaded already")
    failures = [mirror for mirror in waiting if not _upload(mirror, options.dry_run)]
    if failures:
        print(
            f"{len(failures)} of {len(waiting)} uploads failed; the same command again retries them",
            file=sys.stderr,
        )
    return 1 if failures else 0


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


def _upload(mirror: Path, dry_run: bool) -> bool:
    if dry_run:
        print(f"would upload {mirror}")
        return True
    # The length is taken before the upload, because a run that still goes on writes meanwhile: the next sync sends that
    length = _length(mirror)
    command = [sys.executable, "-m", "wandb", "sync", "--yes", "--include-synced", str(mirror)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        print(f"failed {mirror}: {said[-1] if said else f'exit code {done.returncode}'}", file=sys.stderr)
        return False
    (mirror / MARKER).write_text(str(length))
    print(f"uploaded {mirror}")
    return True


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
