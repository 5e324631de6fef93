"""Upload offline runs by wandb's own client, and believe no run to be uploaded of which wandb tells an error."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

FLAG = "ERROR"  # wandb's word before an error; its exit code is 0 all the same
CLIENT = [sys.executable, "-m", "wandb", "sync", "--yes", "--include-synced"]


def upload(mirrors: Sequence[Path], patience: float) -> dict[Path, str | None]:
    """Upload offline runs, as many at a time as wandb takes, and return why each was not uploaded, None where it was.

    A run counts as uploaded if wandb has written its mark beside the run's file and no error of its output may be that
    run's. Both are asked for, because wandb leaves the mark after some errors, and because its exit code is always 0.

    Args:
        mirrors: folders of offline runs, no two of one run: wandb names a run by its id in errors.
        patience: after how many seconds without a word of wandb the upload is given up, because wandb itself tries to
            reach a server for days.
    """
    outcome: dict[Path, str | None] = {}
    while waiting := [mirror for mirror in mirrors if mirror not in outcome]:
        outcome |= _attempt(waiting, patience)
    return outcome


def _attempt(mirrors: Sequence[Path], patience: float) -> dict[Path, str | None]:
    """Upload by one command of wandb, and return what became of each run, or of those that failed by themselves.

    A run that cannot be read ends the command before the others are sent, so that nothing is known of these.
    """
    for mark in (mark for mirror in mirrors for mark in mirror.glob("*.wandb.synced")):
        mark.unlink()
    said, silent = _said([*CLIENT, *map(str, mirrors)], patience)
    names = {mirror: run_id(mirror) for mirror in mirrors}
    sent = [mirror for mirror, name in names.items() if (mirror / f"run-{name}.wandb.synced").exists()]
    errors = [line.partition(FLAG)[2].strip() for line in said if FLAG in line]
    own = {mirror: error for mirror, name in names.items() for error in errors[::-1] if name in error}
    of_all = [error for error in errors if not any(name in error for name in names.values())]
    if own and not of_all:
        return own | {mirror: None for mirror in sent if mirror not in own}
    if of_all:
        reason = of_all[0]
    elif silent:
        reason = f"wandb said nothing for {patience:g} seconds: the server does not answer"
    else:
        reason = said[-1] if said else "wandb said nothing and ended"
    return {mirror: own.get(mirror, None if mirror in sent and not of_all else reason) for mirror in mirrors}


def run_id(mirror: Path) -> str:
    """Return the run's id, by which wandb names it."""
    return next(mirror.glob("*.wandb")).stem.removeprefix("run-")


def _said(command: Sequence[str], patience: float) -> tuple[list[str], bool]:
    """Return the lines that a command prints, and whether it was stopped because it was silent for too long."""
    printed, more = b"", b"\n"
    # Because wandb writes a log of its own into the folder that it is called in, call it in one that is deleted
    with (
        tempfile.TemporaryDirectory() as place,
        subprocess.Popen(
            command,
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # because wandb starts a process of its own, which has to end with it
        ) as process,
    ):
        assert process.stdout is not None
        try:
            while more and select.select([process.stdout], [], [], patience)[0]:
                more = os.read(process.stdout.fileno(), 65536)
                printed += more
        finally:
            if more:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    lines = printed.decode(errors="replace").splitlines()
    return [line.strip() for line in lines if line.strip()], bool(more)
