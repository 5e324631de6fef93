"""Table of judgements for the terminal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from collapse_lab.verify.judgement import Judgement
from collapse_lab.verify.measured import Measured, Verdict

ORDER: tuple[Verdict, ...] = ("reproduced", "not reproduced", "inconclusive", "not run")
_INK = {"reproduced": "green", "not reproduced": "red", "inconclusive": "yellow", "not run": "dim"}
MOST_SETTINGS = 4


def show(judgements: Sequence[Judgement], console: Console) -> None:
    """Print a table for each paper, the number of claims of each verdict, and the commands that run what is missing."""
    for title in dict.fromkeys(judgement.claim.title for judgement in judgements):
        table = Table(title=title, title_justify="left", title_style="bold", show_lines=True, expand=True)
        table.add_column("claim", ratio=1, overflow="fold")
        table.add_column("verdict, 95 % interval", no_wrap=True)
        for judgement in judgements:
            if judgement.claim.title == title:
                table.add_row(_described(judgement), _verdict(judgement))
        console.print(table)
    counts = Counter(judgement.verdict for judgement in judgements)
    console.print(", ".join(f"{counts[verdict]} {verdict}" for verdict in ORDER if counts[verdict]))
    incomplete = [judgement for judgement in judgements if judgement.measured.n < len(judgement.claim.seeds)]
    missing = dict.fromkeys(command for judgement in incomplete for command in judgement.commands)
    if missing:
        console.print("These commands run what is missing:")
    for command in missing:
        console.print(f"  {command}", soft_wrap=True, highlight=False, markup=False)


def number(measured: Measured) -> str:
    """Return a measured number as text, e.g. "4.43 [3.43, 5.72], n = 3"."""
    if measured.value is None:
        return "–"
    ends = [_number(end) for end in (measured.lo, measured.hi) if end is not None]
    interval = f" [{', '.join(ends)}]" if ends else ""
    return f"{_number(measured.value)}{interval}, n = {measured.n}"


def _described(judgement: Judgement) -> Group:
    claim = judgement.claim
    arguments = ", ".join(f"{key} {value}" for key, value in claim.arguments.items())
    lines = [
        f"{claim.source}; {', '.join(claim.known_from)}",
        f"{claim.statistic}: {arguments}",
        f"size: {claim.size}",
    ]
    lines += [judgement.reason] if judgement.verdict in ("inconclusive", "not run") else []
    lines += (
        [judgement.measured.note] if judgement.measured.note and judgement.measured.note != judgement.reason else []
    )
    lines += [f"judged at {_settings(judgement)}"] if judgement.setting else []
    lines += [f"at {_settings(other)}: {other.verdict}, {number(other.measured)}" for other in judgement.others]
    return Group(Text(claim.claim), *(Text(line, style="dim") for line in lines))


def _verdict(judgement: Judgement) -> Group:
    lines = [] if judgement.measured.value is None else [Text(number(judgement.measured))]
    return Group(
        Text(judgement.verdict, style=_INK[judgement.verdict]),
        *lines,
        Text(f"needs {judgement.claim.needed}", style="dim"),
    )


def _settings(judgement: Judgement) -> str:
    more = len(judgement.setting) - MOST_SETTINGS
    settings = ", ".join(judgement.setting[:MOST_SETTINGS]) + (f" and {more} more" if more > 0 else "")
    return settings or "the experiment's own settings"


def _number(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.3g}"
