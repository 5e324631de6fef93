"""The cells of a sweep: each leaves word of how it ended, and the process that launched them writes one report."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from collapse_lab.engine.outcome import GOOD, Outcome, Status, failure
from collapse_lab.storage.files import write_whole
from collapse_lab.storage.redaction import redacted, without_secrets

CELLS = "cells"


class SweepStart(Callback):
    """Be called by Hydra once, in the process that launches a sweep.

    Hydra builds its callbacks itself and says nothing of the end of a sweep in which a cell fails. So the folder is
    kept on the class, where `close` finds it.
    """

    folder: ClassVar[Path | None] = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Forget the outcomes of an earlier launch of the same sweep."""
        SweepStart.folder = Path(config.hydra.sweep.dir)
        shutil.rmtree(SweepStart.folder / CELLS, ignore_errors=True)


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
        return self.folder / CELLS / f"{self.number:04d}.json"

    def begin(self) -> None:
        """Leave the command line of the cell, without secrets, so that a cell that is killed is missed."""
        self._begun = time.perf_counter()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.with_suffix(".line").write_text("\n".join(map(redacted, self.overrides)))

    def postpone(self) -> None:
        """Take the command line back, because the cell has not begun and is not lost if it never does."""
        self.file.with_suffix(".line").unlink()

    def finish(self, status: Status) -> None:
        """Write that the cell ended well."""
        Outcome(self.run, status, "", time.perf_counter() - self._begun).write(self.file)

    def fail(self, error: BaseException) -> None:
        """Write what ended the cell."""
        failure(error, self.run, time.perf_counter() - self._begun).write(self.file)


def name_run(cell: Cell | None, folder: Path) -> None:
    """Note the run's folder of a cell, so that the report finds what a failed cell has recorded; see `recorded`."""
    if cell is not None:
        cell.run = str(folder)


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


def close() -> None:
    """Say which cells of the sweep that this process launched did not end well, and write the report of the others."""
    folder = SweepStart.folder
    if folder is None:
        return
    _redact(folder / "multirun.yaml")
    runs: set[Path] = set()
    lines = {path: path.read_text().split("\n") for path in sorted(folder.glob(f"{CELLS}/*.line"))}
    for path, overrides in lines.items():
        outcome = Outcome.read(path.with_suffix(".json"))
        if outcome.status not in GOOD:
            print(f"{outcome.status}: {difference(overrides, lines)}: {outcome.reason}", file=sys.stderr)
        ledger = Path(outcome.run) / "ledger.jsonl"
        if outcome.run and ledger.exists() and ledger.stat().st_size:  # because it is empty before generation 0 ends
            runs.add(Path(outcome.run))
    if runs:
        from collapse_lab.report import write_report

        print(f"report of {len(runs)} cells: {write_report(sorted(runs), folder / 'report.html')}")


def _redact(path: Path) -> None:
    """Replace the secrets of the command line in a file that Hydra writes; see `cli.secrets` for most of them."""
    with suppress(OSError):  # because an error may be on its way already
        text = path.read_text()
        clean = without_secrets(text, sys.argv)
        if clean != text:
            write_whole(path, clean)


def difference(overrides: list[str], lines: Mapping[Path, list[str]]) -> str:
    """Return the overrides of a cell that not every cell has, all of them where there are none."""
    own = [override for override in overrides if any(override not in other for other in lines.values())]
    return " ".join(own or overrides)
