"""The cells of a sweep: each leaves word of how it ended, and the process that launched them writes one report."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from hydra.core.utils import filter_overrides
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from collapse_lab.cli.frozen import freeze
from collapse_lab.engine.outcome import GOOD, Outcome, Status, failure
from collapse_lab.errors import UserError
from collapse_lab.storage.files import full_disk_explained, write_whole
from collapse_lab.storage.formats import BEGUN, CELLS, ENDED, QUEUED, RUN
from collapse_lab.storage.redaction import redacted, without_secrets

COMMAND = "command"  # the file with the command line of the sweep
LINE = "COLLAPSE_LAB_LINE"  # the environment variable with it


class SweepStart(Callback):
    """Be called by Hydra once, in the process that launches a sweep.

    Hydra builds its callbacks itself and says nothing of the end of a sweep in which a cell fails. So the folder is
    kept on the class, where `close` finds it.
    """

    folder: ClassVar[Path | None] = None
    forgets: ClassVar[Literal["all", "failed", "none"]] = "all"  # none while cells of this sweep are launched again

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Forget the outcomes of an earlier launch of the same sweep, leave its command line, and freeze its files.

        A dry run gets another launcher, and forgets and leaves nothing. So does a dry_run that is neither true nor
        false, because each cell refuses it.

        Where the folder cannot be written to nothing is left: Hydra would print an error of a callback as a warning,
        and every cell says the same in a line of its own.
        """
        SweepStart.folder = folder = Path(config.hydra.sweep.dir)
        if config.get("dry_run", False) is not False:
            # Imported here, because the launcher imports this module
            from collapse_lab.cli.launchers.dry import stand_in

            stand_in(config)
            return
        if SweepStart.forgets == "all":
            shutil.rmtree(folder / CELLS, ignore_errors=True)
        if SweepStart.forgets == "failed":
            for path in folder.glob(f"{CELLS}/*{BEGUN}"):
                if Outcome.read(path.with_suffix(ENDED)).status not in GOOD:
                    path.with_suffix(ENDED).unlink(missing_ok=True)
                    path.rename(path.with_suffix(QUEUED))
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / COMMAND, os.environ.get(LINE, ""))
            freeze(folder)


def queue(folder: Path, first: int, cells: Sequence[Sequence[str]]) -> None:
    """Leave the command lines of the cells of a sweep that a launcher is about to start.

    Args:
        folder: the sweep's folder.
        first: the number of the first cell.
        cells: the overrides of each.

    Raises:
        UserError: the disk is full.
    """
    for number, overrides in enumerate(cells, start=first):
        cell = Cell(folder, number, tuple(filter_overrides(overrides)))
        if not cell.file.exists() and not cell.file.with_suffix(BEGUN).exists():
            cell.queue()


@dataclass
class Cell:
    """Represent one cell of a sweep: one configuration with its seed.

    Attributes:
        folder: the sweep's folder.
        number: the cell's number in the sweep.
        overrides: its part of the command line.
        run: the folder of its run, "" until it is known.
    """

    folder: Path
    number: int
    overrides: tuple[str, ...]
    run: str = ""

    def __post_init__(self) -> None:
        self._begun = time.perf_counter()

    @property
    def file(self) -> Path:
        """Return where the cell's outcome is written."""
        return self.folder / CELLS / f"{self.number:04d}{ENDED}"

    def queue(self) -> None:
        """Leave the command line of a cell that waits for its turn, without secrets.

        Raises:
            UserError: the disk is full.
        """
        with full_disk_explained(self.folder):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.with_suffix(QUEUED).write_text(self._line)

    def begin(self) -> None:
        """Leave the command line of the cell, without secrets, so that a cell that is killed is missed.

        Raises:
            UserError: the disk is full.
        """
        self._begun = time.perf_counter()
        with full_disk_explained(self.folder):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.file.with_suffix(BEGUN), self._line)
        for earlier in (QUEUED, RUN, ENDED):
            self.file.with_suffix(earlier).unlink(missing_ok=True)

    def postpone(self) -> None:
        """Take the command line back, because the cell has not begun and is not lost if it never does."""
        self.file.with_suffix(BEGUN).rename(self.file.with_suffix(QUEUED))

    @property
    def _line(self) -> str:
        return "\n".join(map(redacted, self.overrides))

    def finish(self, status: Status) -> None:
        """Write that the cell ended well.

        Raises:
            UserError: the disk is full.
        """
        with full_disk_explained(self.folder):
            Outcome(self.run, status, "", time.perf_counter() - self._begun).write(self.file)

    def fail(self, error: BaseException) -> None:
        """Write what ended the cell; log where it cannot be written, so that the error itself is raised."""
        failure(error, self.run, time.perf_counter() - self._begun).write_or_log(self.file)

    def lose(self, reason: str) -> None:
        """Write that the process of the cell was killed, and why it does not run again."""
        with suppress(OSError):  # because the disk may be full, which may be why it was killed
            self.file.with_suffix(BEGUN).write_text(self._line)
            self.file.with_suffix(QUEUED).unlink(missing_ok=True)
        Outcome(self.run, "lost", reason).write_or_log(self.file)


def name_run(cell: Cell | None, folder: Path) -> None:
    """Note the run's folder of a cell, so that the report finds what a failed cell has recorded; see `recorded`.

    Raises:
        UserError: the disk is full.
    """
    if cell is not None:
        cell.run = str(folder)
        with full_disk_explained(cell.folder):
            cell.file.with_suffix(RUN).write_text(cell.run)


@contextmanager
def recorded(cell: Cell | None) -> Iterator[None]:
    """Leave word of a cell where `close` looks for it, whatever ends the block; do nothing outside a sweep."""
    if cell is None:
        yield
        return
    cell.begin()
    try:
        yield
    except BaseException as error:
        cell.fail(error)
        raise


def unfinished() -> list[Cell]:
    """Return the cells of this process's sweep that have begun and have no outcome."""
    return [
        Cell(path.parents[1], int(path.stem), tuple(overrides))
        for path, overrides in _lines().items()
        if not path.with_suffix(ENDED).exists()
    ]


def count_bad() -> tuple[int, int]:
    """Return how many cells of this process's sweep have not ended well, and how many have begun."""
    statuses = [Outcome.read(path.with_suffix(ENDED)).status for path in _lines()]
    return sum(status not in GOOD for status in statuses), len(statuses)


def name_cells(cells: Sequence[Cell]) -> list[str]:
    """Return what tells each of some cells from the other cells of this process's sweep; see `differences`."""
    return differences([cell.overrides for cell in cells], list(_lines().values()))


def close() -> str:
    """Say which cells of the sweep that this process launched did not end well, and write the report of the others.

    Returns:
        Why there is no report; "" where one is written, or where there is nothing to write about. Nothing is raised,
        because an error may be on its way already and is the one that the user has to see.
    """
    folder = SweepStart.folder
    if folder is None:
        return ""
    _redact(folder / "multirun.yaml")
    runs: set[Path] = set()
    lines = _lines()
    for path, name in zip(lines, differences(list(lines.values()), list(lines.values())), strict=True):
        outcome = Outcome.read(path.with_suffix(ENDED))
        if outcome.status not in GOOD:
            print(f"{outcome.status}: {name}: {outcome.reason}", file=sys.stderr)
        ledger = Path(outcome.run) / "ledger.jsonl"
        if outcome.run and ledger.exists() and ledger.stat().st_size:  # because it is empty before generation 0 ends
            runs.add(Path(outcome.run))
    if not runs:
        return ""
    from collapse_lab.report.page import compose, write_page
    from collapse_lab.results.collect import collect

    try:
        collection = collect(sorted(runs), strict=False)
        page = write_page(compose(collection), folder / "report.html")
    except (UserError, OSError) as error:
        return str(error)
    for reason in collection.unreadable:
        print(f"not in the report: {reason}", file=sys.stderr)
    print(f"report of {len(runs) - len(collection.unreadable)} cells: {page}")
    return ""


def _redact(path: Path) -> None:
    """Replace the secrets of the command line in a file that Hydra writes; see `cli.secrets` for most of them."""
    with suppress(OSError):  # because an error may be on its way already
        text = path.read_text()
        clean = without_secrets(text, sys.argv)
        if clean != text:
            write_whole(path, clean)


def _lines() -> dict[Path, list[str]]:
    """Return the overrides of each cell of this process's sweep that has begun, by the file that holds them."""
    folder = SweepStart.folder
    if folder is None:
        return {}
    return {path: path.read_text().split("\n") for path in sorted(folder.glob(f"{CELLS}/*{BEGUN}"))}


def differences(cells: Sequence[Sequence[str]], of: Sequence[Sequence[str]]) -> list[str]:
    """Return for each of some cells the overrides that not all cells of a sweep have, all of them where there are none.

    Args:
        cells: the overrides of the cells that are named.
        of: the overrides of all cells of the sweep.
    """
    counts = Counter(override for overrides in of for override in set(overrides))
    return [" ".join([one for one in overrides if counts[one] < len(of)] or overrides) for overrides in cells]
