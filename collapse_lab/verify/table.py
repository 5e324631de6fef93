"""Table of judgements for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from collapse_lab.verify.judgement import Judgement
from collapse_lab.verify.words import by_chance, counts, number, settings

_INK = {"reproduced": "green", "not reproduced": "red", "inconclusive": "yellow", "not run": "dim"}


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
    console.print(counts(judgements))
    if by_chance(judgements):
        console.print(by_chance(judgements), highlight=False)
    incomplete = [judgement for judgement in judgements if judgement.measured.n < len(judgement.claim.seeds)]
    missing = dict.fromkeys(command for judgement in incomplete for command in judgement.commands)
    if missing:
        console.print("These commands run what is missing:")
    for command in missing:
        console.print(f"  {command}", soft_wrap=True, highlight=False, markup=False)


def _described(judgement: Judgement) -> Group:
    claim, note = judgement.claim, judgement.measured.note
    arguments = ", ".join(f"{key} {value}" for key, value in claim.test.arguments.items())
    lines = [
        f"{claim.source}; {', '.join(claim.known_from)}",
        f"{claim.test.statistic}: {arguments}",
        f"size: {claim.size}",
    ]
    lines += [judgement.reason] if judgement.verdict in ("inconclusive", "not run") else []
    lines += [note] if note and note != judgement.reason else []
    if judgement.verdict == "inconclusive" and judgement.shown:
        lines += [f"these runs would have shown {judgement.shown}, with 80 % probability"]
    lines += [f"at {settings(other)}: {other.verdict}, {number(other.measured)}" for other in judgement.others]
    return Group(Text(claim.claim), *(Text(line, style="dim") for line in lines))


def _verdict(judgement: Judgement) -> Group:
    lines = [] if judgement.measured.value is None else [Text(number(judgement.measured))]
    if judgement.after_holm != judgement.verdict:
        lines.append(Text(f"by Holm's method: {judgement.after_holm}"))
    return Group(
        Text(judgement.verdict, style=_INK[judgement.verdict]),
        *lines,
        Text(f"needs {judgement.claim.test.needed}", style="dim"),
    )
