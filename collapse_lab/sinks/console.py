"""Show a run in the terminal: live bars where stderr is a terminal, plain lines where it is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console as Terminal
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from collapse_lab.results.names import base_names
from collapse_lab.sinks.lines import Lines
from collapse_lab.types import Natural, Record, RunInfo

WIDTH = 100  # columns of the closing table, at most
MAX_METRICS = 6
MAX_ROWS = 40
# Metrics that get a column of the closing table, in this order
_KEY_METRICS = (
    "fid",
    "recall",
    "agreement",
    "precision",
    "coverage",
    "perplexity",
    "generated_perplexity",
    "distinct_2",
)


class Console:
    """Show where the run stands, and a table of all its records when it closes.

    Live bars and one plain line per record go to stderr. The closing table goes to stdout, so a pipe gets the table
    alone. Where stderr is not a terminal, no bar is drawn and no escape code is written; a phase of more than half a
    minute says a line for each half minute.

    Args:
        generations: the number of the last generation of the run, 0 or more; None where it is not known.
    """

    def __init__(self, generations: Natural | None = None) -> None:
        self.generations = generations
        self._records: list[Record] = []
        self._own: tuple[str, ...] = ()
        self._computed: set[tuple[int, str]] = set()  # generations and models that this run has fitted or sampled
        self._terminal = Terminal(stderr=True)
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._lines = Lines(self._print)

    def open(self, run: RunInfo, past: Sequence[Record]) -> None:
        """Take over the records of an earlier process; the closing table shows them too."""
        self._records, self._computed, self._own = list(past), set(), own_metrics(run.config)
        self._terminal = Terminal(stderr=True)
        resumed = f", going on after generation {past[-1].generation}" if past else ""
        self._print(f"{run.name} {run.signature}{resumed}")

    def start(self, generation: int, model: str, phase: str, total: int) -> None:
        """Draw the bar of one phase; without a terminal, say a line now and then."""
        self.stop()
        if phase.split()[0] in ("fit", "sample"):
            self._computed.add((generation, model))
        title = f"generation {self._counter(generation)} · {model} · {phase}"
        if not self._terminal.is_terminal:
            self._lines.start(title, total)
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
        self._task = self._bars.add_task(title, total=total, chain=self._remaining_time())

    def advance(self, steps: int = 1) -> None:
        """Move the bar on by `steps`."""
        if not self._terminal.is_terminal:
            self._lines.advance(steps)
        elif self._bars is not None and self._task is not None:
            self._bars.advance(self._task, steps)

    def stop(self) -> None:
        """Remove the bar."""
        if self._bars is not None and self._task is not None:
            self._bars.remove_task(self._task)
        self._task = None

    def record(self, record: Record) -> None:
        """Print one line: counts, the first two key metrics, seconds.

        The seconds of a fit and of samples that this run has read from the store are those of another run, so the line
        says the time of the measuring alone.
        """
        self._records.append(record)
        counts = " + ".join(f"{record.counts.get(kind, 0):,} {kind}" for kind in ("real", "synthetic"))
        metrics = [f"{name} {_number(record.metrics[name])}" for name in key_metrics([record], self._own)[:2]]
        seconds = f"{sum(record.seconds.values()):.1f} s"
        if (record.generation, record.model) not in self._computed:
            seconds = f"from the store, measured in {record.seconds.get('measure', 0.0):.1f} s"
        fields = [f"generation {self._counter(record.generation)}", record.model, counts, *metrics, seconds]
        if record.status != "ok":
            fields.append(record.status)
        self._print(" · ".join(fields))

    def grid(self, generation: int, model: str, subset: str, path: Path) -> None:
        """Do nothing, because a terminal shows no images."""

    def close(self, status: str) -> None:
        """Print the closing table, and the status of a run that did not end well."""
        self.stop()
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
        if self._records:
            print_table(self._records, self._own)
        if status != "ok":
            self._print(f"the run ended: {status}")

    def _print(self, line: str) -> None:
        self._terminal.print(line, markup=False, highlight=False, soft_wrap=True)

    def _counter(self, generation: int) -> str:
        return f"{generation}/{self.generations}" if self.generations is not None else str(generation)

    def _remaining_time(self) -> str:
        """Return the time until the end of the run, if every generation takes as long as the last one did."""
        # Generation 0 has its own training budget, so its time is no estimate for the others
        last = self._records[-1].generation if self._records else 0
        if self.generations is None or last == 0:
            return ""
        seconds = sum(sum(r.seconds.values()) for r in self._records if r.generation == last)
        remaining = timedelta(seconds=round(seconds * (self.generations - last)))
        return f"(all: {remaining})"


def own_metrics(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the metrics of a run whose classes are not of this package."""
    nodes = config.get("metrics") or {}
    return tuple(name for name, node in nodes.items() if not str(node["_target_"]).startswith("collapse_lab."))


def print_table(records: Sequence[Record], own: Sequence[str] = ()) -> None:
    """Print the closing table to stdout, without escape codes where stdout is not a terminal.

    Args:
        records: the records of a run, in the order of the ledger.
        own: as of `key_metrics`.
    """
    output().print(closing_table(records, own))


def output() -> Terminal:
    """Return stdout for a table: of its own width where it is a terminal, and of 100 columns where it is not."""
    terminal = Terminal()
    return terminal if terminal.is_terminal else Terminal(width=WIDTH)


def closing_table(records: Sequence[Record], own: Sequence[str] = ()) -> Table:
    """Return a table with one row per generation and model: rows trained on, key metrics, seconds.

    The last row holds the floor of each metric: its value for real against real at the same n. Of a long chain the
    first and the last 20 rows are shown. Metrics that do not fit the width are left out, the last ones first.

    Args:
        records: the records of a run, in the order of the ledger.
        own: as of `key_metrics`.

    Returns:
        A table of at most 100 columns of text.
    """
    names = key_metrics(records, own)[:MAX_METRICS]
    terminal = Terminal(width=10 * WIDTH)
    while (table := _table(records, names)) and terminal.measure(table).maximum > WIDTH and names:
        names.pop()
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
    hidden = range(MAX_ROWS // 2, len(records) - MAX_ROWS // 2)
    for i, r in enumerate(records):
        if len(records) > MAX_ROWS and i in hidden:
            if i == hidden.start:
                table.add_row("…")
            continue
        cells = [str(r.generation), *([r.model] if models else [])]
        cells += [f"{r.counts.get(kind, 0):,}" for kind in ("real", "synthetic")]
        cells += [_number(r.metrics[name]) if name in r.metrics else "–" for name in metrics]
        table.add_row(*cells, f"{sum(r.seconds.values()):,.1f}", *([r.status] if diverged else []))
    return table


def key_metrics(records: Sequence[Record], own: Sequence[str] = ()) -> list[str]:
    """Return the names of the metrics that get a column, the most important ones first.

    The order is FID, the user's own metrics, recall, agreement, precision, coverage; then, for texts, perplexity, the
    perplexity of the generated texts, and distinct bigrams. Metrics in pixels come after all others, because they check
    the embedding rather than give the result. For a run without any of these metrics, all its measurements are
    returned.

    Args:
        records: the records of a run.
        own: the names of the metrics that the user has added (`own_metrics`).

    Returns:
        Ledger names, without those of intervals, floors and theory.
    """
    recorded = {name for r in records for name in r.metrics}
    order = [_KEY_METRICS[0], *own, *_KEY_METRICS[1:]]
    names = {name for name in recorded if name.rpartition("/")[2] in order}
    if not names:
        return sorted(name.key for name in base_names(recorded))
    return sorted(names, key=lambda n: (n.split("/")[1] == "pixels", order.index(n.rpartition("/")[2]), n))


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
