"""The terminal as a mirror of the ledger: live bars where someone looks on, plain lines where no one does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from rich import box
from rich.console import Console as Terminal
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from collapse_lab.results.names import base_names
from collapse_lab.types import Record, RunInfo

WIDTH = 100
MOST_METRICS = 6
MOST_ROWS = 40
_KINDS = ("fid", "recall", "agreement", "precision", "coverage", "perplexity", "generated_perplexity", "distinct_2")


class Console:
    """Shows where the run stands, and a table of all its records when it closes.

    Live bars and the plain line of each record go to stderr, the closing table to stdout, so a pipe gets the
    table alone. Without a terminal nothing is drawn twice and no escape code is written.

    generations: the last generation of the run, where it is known.
    """

    def __init__(self, generations: int | None = None) -> None:
        self.generations = generations
        self._records: list[Record] = []
        self._terminal = Terminal(stderr=True)
        self._bars: Bars | None = None
        self._task: TaskID | None = None

    def open(self, run: RunInfo, past: Sequence[Record]) -> None:
        """Takes over the records of an earlier process, which the closing table repeats."""
        self._records = list(past)
        self._terminal = Terminal(stderr=True)
        again = f", going on after generation {past[-1].generation}" if past else ""
        self._say(f"{run.name} {run.signature}{again}")

    def start(self, generation: int, model: str, phase: str, total: int) -> None:
        """Draws the bar of one phase, on a terminal."""
        self.stop()
        if not self._terminal.is_terminal:
            return
        if self._bars is None:
            self._bars = Bars(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TimeRemainingColumn(compact=True),
                TextColumn("{task.fields[chain]}"),
                console=self._terminal,
                transient=True,
            )
            self._bars.start()
        title = f"generation {self._of(generation)} · {model} · {phase}"
        self._task = self._bars.add_task(title, total=total, chain=self._chain_left())

    def advance(self, steps: int = 1) -> None:
        """Moves the bar on."""
        if self._bars is not None and self._task is not None:
            self._bars.advance(self._task, steps)

    def stop(self) -> None:
        """Takes the bar away."""
        if self._bars is not None and self._task is not None:
            self._bars.remove_task(self._task)
        self._task = None

    def record(self, record: Record) -> None:
        """Prints one line: counts, the first two key metrics, seconds."""
        self._records.append(record)
        counts = " + ".join(f"{n:,} {kind}" for kind, n in record.counts.items())
        shown = [f"{name} {_number(record.metrics[name])}" for name in key_metrics([record])[:2]]
        took = f"{sum(record.seconds.values()):.1f} s"
        parts = [f"generation {self._of(record.generation)}", record.model, counts, *shown, took]
        if record.status != "ok":
            parts.append(record.status)
        self._say(" · ".join(parts))

    def grid(self, generation: int, model: str, subset: str, path: Path) -> None:
        """Images are not shown in a terminal."""

    def close(self, status: str) -> None:
        """Prints the closing table, and how the run ended if it did not end well."""
        self.stop()
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
        if self._records:
            print_table(self._records)
        if status != "ok":
            self._say(f"the run ended: {status}")

    def _say(self, line: str) -> None:
        self._terminal.print(line, markup=False, highlight=False, soft_wrap=True)

    def _of(self, generation: int) -> str:
        return f"{generation}/{self.generations}" if self.generations is not None else str(generation)

    def _chain_left(self) -> str:
        """The time that the generations after this one will take if they take what the last one took."""
        # Generation 0 has a budget of its own and says nothing about the others.
        last = self._records[-1].generation if self._records else 0
        if self.generations is None or last == 0:
            return ""
        took = sum(sum(r.seconds.values()) for r in self._records if r.generation == last)
        left = timedelta(seconds=round(took * (self.generations - last)))
        return f"(all: {left})"


def print_table(records: Sequence[Record]) -> None:
    """Prints the closing table to stdout, without escape codes where that is no terminal."""
    terminal = Terminal()
    if not terminal.is_terminal:
        terminal = Terminal(width=WIDTH)
    terminal.print(closing_table(records))


def closing_table(records: Sequence[Record]) -> Table:
    """One row per generation and model: rows trained on, key metrics, seconds; at most 100 columns wide.

    The last row holds the floor of each metric: its value for real against real at the same n. Of a long
    chain the first and the last 20 rows are shown.
    """
    chosen = key_metrics(records)[:MOST_METRICS]
    terminal = Terminal(width=10 * WIDTH)
    while (table := _table(records, chosen)) and terminal.measure(table).maximum > WIDTH and chosen:
        chosen.pop()
    return table


def _table(records: Sequence[Record], metrics: Sequence[str]) -> Table:
    models = len({r.model for r in records}) > 1
    diverged = any(r.status != "ok" for r in records)
    floors = {name: r.metrics[f"{name}_floor"] for r in records for name in metrics if f"{name}_floor" in r.metrics}
    table = Table(box=box.SIMPLE_HEAD, show_footer=bool(floors))
    table.add_column("g", justify="right")
    if models:
        table.add_column("model", max_width=14, no_wrap=True)
    table.add_column("real", justify="right")
    table.add_column("synthetic", "floor" if floors else "", justify="right")
    for name in metrics:
        footer = _number(floors[name]) if name in floors else ""
        table.add_column(name.replace("/", "\n"), footer, justify="right", no_wrap=True)
    table.add_column("seconds", justify="right")
    if diverged:
        table.add_column("status")
    hidden = range(MOST_ROWS // 2, len(records) - MOST_ROWS // 2)
    for i, r in enumerate(records):
        if len(records) > MOST_ROWS and i in hidden:
            if i == hidden.start:
                table.add_row("…")
            continue
        cells = [str(r.generation), *([r.model] if models else [])]
        cells += [f"{r.counts.get(kind, 0):,}" for kind in ("real", "synthetic")]
        cells += [_number(r.metrics[name]) if name in r.metrics else "–" for name in metrics]
        table.add_row(*cells, f"{sum(r.seconds.values()):,.1f}", *([r.status] if diverged else []))
    return table


def key_metrics(records: Sequence[Record]) -> list[str]:
    """The metrics worth a column, the first ones first: FID, recall, agreement, precision, coverage; of texts,
    perplexity, that of what was generated, and distinct bigrams.

    Those in pixels come after all others: they are a check on the embedding rather than the result. A run that
    measures none of them shows what its probes found.
    """
    known = {name for r in records for name in r.metrics}
    names = {name for name in known if name.rpartition("/")[2] in _KINDS}
    if not names:
        return sorted(name.key for name in base_names(known))
    return sorted(names, key=lambda n: (n.split("/")[1] == "pixels", _KINDS.index(n.rpartition("/")[2]), n))


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
