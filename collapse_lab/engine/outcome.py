"""How a run, or a cell of a sweep, ended: one small JSON file, written whole."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from collapse_lab.storage.files import write_whole
from collapse_lab.storage.redaction import without_secrets

log = logging.getLogger(__name__)

Status = Literal["ok", "diverged", "interrupted", "failed", "lost"]
GOOD: tuple[Status, ...] = ("ok", "diverged")  # a run that diverges ends as a result


@dataclass(frozen=True)
class Outcome:
    """Hold how a run or a cell ended.

    Attributes:
        run: the run's folder, "" where it was never known.
        status: `ok`; `diverged`; `interrupted` by Ctrl-C; `failed` by an error; `lost` where the process said nothing,
            because it was killed or its node failed.
        reason: the error's message.
        seconds: wall time.
    """

    run: str
    status: Status
    reason: str = ""
    seconds: float = 0.0

    def write(self, path: Path) -> None:
        """Write the outcome to a file, whole."""
        write_whole(path, json.dumps(asdict(self), indent=1))

    def write_or_log(self, path: Path) -> None:
        """Write the outcome to a file; log where it cannot be written.

        It is the last thing that is written, and an error may be on its way already: a second one would hide it.
        """
        try:
            self.write(path)
        except OSError as error:  # because a full disk, which may be what ended the run, takes no further file
            log.warning("%s cannot be written (%s); the run ended as %s", path, error.strerror, self.status)

    @classmethod
    def read(cls, path: Path) -> Outcome:
        """Return the outcome in a file; `lost` where there is no such file, or where it holds something else."""
        if not path.exists():
            return cls(
                "", "lost", "its process ended without a word: it was killed, its node failed, or its disk is full"
            )
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            return cls("", "lost", f"{path} cannot be read ({error}); the same command writes it again")


def failure(error: BaseException, run: str, seconds: float) -> Outcome:
    """Return the outcome of a run or a cell that an exception ended.

    A job of a cluster that is stopped to be queued again ends by SystemExit.
    """
    if isinstance(error, SystemExit):
        return Outcome(run, "interrupted", "its process was asked to end", seconds)
    status: Status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
    return Outcome(run, status, without_secrets(str(error), sys.argv), seconds)
