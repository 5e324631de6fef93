"""Judgements as a table for the terminal."""

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
    """A table for each paper, how many of each verdict, and what would run the rest."""
    for title in dict.fromkeys(each.claim.title for each in judgements):
        table = Table(title=title, title_justify="left", title_style="bold", show_lines=True, expand=True)
        table.add_column("claim", ratio=1, overflow="fold")
        table.add_column("verdict, 95 % interval", no_wrap=True)
        for each in judgements:
            if each.claim.title == title:
                table.add_row(_told(each), _judged(each))
        console.print(table)
    counts = Counter(each.verdict for each in judgements)
    console.print(", ".join(f"{counts[verdict]} {verdict}" for verdict in ORDER if counts[verdict]))
    lacking = [command for each in judgements if each.measured.n < len(each.claim.seeds) for command in each.commands]
    if lacking:
        console.print("What is missing is run by")
    for command in dict.fromkeys(lacking):
        console.print(f"  {command}", soft_wrap=True, highlight=False, markup=False)


def number(measured: Measured) -> str:
    """E.g. "4.43 [3.43, 5.72], n = 3"."""
    if measured.value is None:
        return "–"
    ends = [_told_number(end) for end in (measured.lo, measured.hi) if end is not None]
    interval = f" [{', '.join(ends)}]" if ends else ""
    return f"{_told_number(measured.value)}{interval}, n = {measured.n}"


def _told(each: Judgement) -> Group:
    claim = each.claim
    arguments = ", ".join(f"{key} {value}" for key, value in claim.arguments.items())
    lines = [
        f"{claim.source}; {', '.join(claim.known_from)}",
        f"{claim.statistic}: {arguments}",
        f"size: {claim.size}",
    ]
    lines += [each.reason] if each.verdict in ("inconclusive", "not run") else []
    lines += [each.measured.note] if each.measured.note and each.measured.note != each.reason else []
    lines += [f"judged at {_settings(each)}"] if each.setting else []
    lines += [f"at {_settings(other)}: {other.verdict}, {number(other.measured)}" for other in each.others]
    return Group(Text(claim.claim), *(Text(line, style="dim") for line in lines))


def _judged(each: Judgement) -> Group:
    lines = [] if each.measured.value is None else [Text(number(each.measured))]
    return Group(Text(each.verdict, style=_INK[each.verdict]), *lines, Text(f"needs {each.claim.needed}", style="dim"))


def _settings(each: Judgement) -> str:
    more = len(each.setting) - MOST_SETTINGS
    told = ", ".join(each.setting[:MOST_SETTINGS]) + (f" and {more} more" if more > 0 else "")
    return told or "the experiment's own settings"


def _told_number(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.3g}"
