"""Judgements as a page in Markdown, for the docs."""

from __future__ import annotations

from collections.abc import Sequence

from collapse_lab.verify.commands import override_line
from collapse_lab.verify.judgement import Judgement
from collapse_lab.verify.words import by_chance, counts, interval, number, settings, value

MOST_OTHERS = 3  # of the runs of one claim at other settings, those of the largest n
_COLUMNS = ("claim", "judged at", "needs", "value", "95 % interval", "seeds", "could show", "verdict", "after Holm")
_LEGEND = """\
A claim is reproduced where the whole 95 % interval over the seeds lies in the range that it needs, and not reproduced
where no part of it does; with fewer than three seeds it is inconclusive. "Could show" is the range of true values that
as many runs like these would have shown, each with a probability of 80 %; its end is the smallest effect that they
could find.
"After Holm" is the verdict that is left when the table as a whole has a false one with a probability of at most 5 %.
A claim marked "post hoc" was written after its first runs had been seen, so that its verdict is weaker evidence.
Only runs at the claim's own setting decide; what runs at other settings give stands below each table."""


def page(judgements: Sequence[Judgement], command: str) -> str:
    """Return the page.

    Args:
        judgements: The judgements, those of one paper side by side.
        command: The command that writes the page.
    """
    parts = [
        "# Claims of the papers",
        f"Written by `{command}`; write it again instead of editing it.",
        _LEGEND,
        " ".join(filter(None, (f"{counts(judgements)}.", by_chance(judgements)))),
    ]
    for title in dict.fromkeys(judgement.claim.title for judgement in judgements):
        own = [judgement for judgement in judgements if judgement.claim.title == title]
        parts += [f"## {title}", _table(_COLUMNS, [_row(judgement) for judgement in own])]
        others = [
            (f"`{judgement.claim.id}`", settings(other), number(other.measured), other.verdict)
            for judgement in own
            for other in judgement.others[:MOST_OTHERS]
        ]
        if others:
            parts += ["At other settings:", _table(("claim", "setting", "value", "would be"), others)]
    return "\n\n".join(parts) + "\n"


def _row(judgement: Judgement) -> tuple[str, ...]:
    claim, measured = judgement.claim, judgement.measured
    seeds = str(measured.n) if measured.n else "–"
    return (
        f"{claim.claim} `{claim.id}`{' (post hoc)' if claim.post_hoc else ''}",
        _setting(judgement),
        f"{claim.test.statistic} {claim.test.needed}",
        value(measured),
        interval(measured) or "–",
        seeds,
        judgement.shown or "–",
        judgement.verdict,
        judgement.after_holm if measured.n else "–",
    )


def _setting(judgement: Judgement) -> str:
    """Return the experiment and the setting of a claim, e.g. "feedback dataset=mnist"; its groups are in the claim."""
    _, *overrides = override_line(judgement.claim, {})
    return " ".join([judgement.claim.experiment, *overrides])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
