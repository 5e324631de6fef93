"""`collapse-lab plan +experiment=… ratio=0,0.1,1`: what a sweep would compute, and how long that takes."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich import box
from rich.table import Column, Table

from collapse_lab.cli.durations import duration
from collapse_lab.cli.overrides import add_run_options, cells_of
from collapse_lab.cli.planned import PlannedCell, planned_cells
from collapse_lab.errors import UserError
from collapse_lab.sinks.console import output

if TYPE_CHECKING:
    from collapse_lab.storage.store import Size


@dataclass
class Kind:
    """Count the stages of one kind.

    Attributes:
        stages: how many different stages there are.
        shared: how many of them several cells need.
        ready: how many of them the store holds.
        measured: seconds and bytes of those that it holds.
    """

    stages: int = 0
    shared: int = 0
    ready: int = 0
    measured: list[Size] = field(default_factory=list)

    @property
    def to_do(self) -> int:
        """Return how many of them are to be computed."""
        return self.stages - self.ready

    @property
    def seconds(self) -> float | None:
        """Return an estimate of the seconds to do, from the mean of those measured; None where none is measured."""
        return None if not self.measured else self.to_do * sum(m.seconds for m in self.measured) / len(self.measured)

    @property
    def bytes(self) -> float | None:
        """Return an estimate of the bytes to be written; None where none is measured."""
        return None if not self.measured else self.to_do * sum(m.bytes for m in self.measured) / len(self.measured)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the stages of a sweep: how many there are, are shared, are there, and are to do, with time and disk.

    Args:
        arguments: the command line without the program's name; None takes that of this process.

    Returns:
        Exit code 0, or 2 for bad input.
    """
    parser = argparse.ArgumentParser(
        prog="collapse-lab plan",
        description="Say what a run or a sweep would compute before it is submitted: stages that cells share, that the "
        "store holds, and that are to do, with an estimate of time and disk from the stages of the same kind that the "
        "store holds. Nothing is computed or written.",
        epilog="Exit code: 0 all is well; 2 bad input.",
    )
    parser.add_argument("overrides", nargs="+", metavar="KEY=VALUE", help="as of the sweep: ratio=0,0.1,1 seed=0,1,2 …")
    add_run_options(parser)
    options = parser.parse_intermixed_args(arguments)
    try:
        cells = planned_cells(cells_of(options.overrides), options.config_dir)
    except UserError as error:
        print(f"collapse_lab: {error}", file=sys.stderr)
        return 2
    show(cells)
    return 0


def show(cells: Sequence[PlannedCell]) -> None:
    """Print the stages of the cells of a sweep in a table, and what is to do in words."""
    kinds = count(cells)
    console = output()
    console.print(_table(kinds))
    console.print(summary(kinds, len(cells), sum(cell.complete for cell in cells)), soft_wrap=True)


def count(cells: Sequence[PlannedCell]) -> dict[str, Kind]:
    """Return the counts of the stages of some cells by the names of their kinds."""
    stages = {place: stage for cell in cells for place, stage in cell.stages.items()}
    needed = Counter(place for cell in cells for place in cell.stages)
    wanted = {place for cell in cells if not cell.complete for place in cell.stages}
    kinds: dict[str, Kind] = {}
    for place, stage in stages.items():
        if stage.size is None and place not in wanted:
            continue
        kind = kinds.setdefault(stage.label, Kind())
        kind.stages += 1
        kind.shared += needed[place] > 1
        if stage.size is not None:
            kind.ready += 1
            kind.measured.append(stage.size)
    return kinds


def _table(kinds: Mapping[str, Kind]) -> Table:
    heads = ("stage", "there are", "shared", "in the store", "to do", "time", "disk")
    table = Table(*(Column(head, no_wrap=True) for head in heads), box=box.SIMPLE_HEAD)
    for label, kind in kinds.items():
        numbers = (kind.stages, kind.shared, kind.ready, kind.to_do)
        table.add_row(
            label, *(f"{number:,}" for number in numbers), duration(kind.seconds, "not known"), _disk(kind.bytes)
        )
    return table


def summary(kinds: Mapping[str, Kind], cells: int, complete: int) -> str:
    """Return what is to do in words.

    Args:
        kinds: the counts of the stages by kind.
        cells: how many cells there are.
        complete: how many of them are complete.
    """
    waiting = [kind for kind in kinds.values() if kind.to_do]
    known = [kind for kind in waiting if kind.seconds is not None]
    to_do, every = sum(kind.to_do for kind in waiting), sum(kind.stages for kind in kinds.values())
    words = [f"{cells:,} cell{'s' if cells > 1 else ''}, {complete:,} complete; {to_do:,} of {every:,} stages to do"]
    if known:
        time, disk = duration(sum(kind.seconds or 0 for kind in known)), _disk(sum(kind.bytes or 0 for kind in known))
        words.append(f", about {time} on the machine that computed those in the store, and {disk}")
    unknown = to_do - sum(kind.to_do for kind in known)
    if unknown:
        words.append(f"; {unknown:,} of a kind of which the store holds none, so that their time is not known")
    return "".join(words) + ". Metrics and probes are no stages and are not counted."


def _disk(size: float | None) -> str:
    return "not known" if size is None else f"{size / 1e6:,.1f} MB"
