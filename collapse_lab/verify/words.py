"""Judgements in words: numbers with their intervals, counts of verdicts, and what chance would do to a table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from collapse_lab.results.multiplicity import ERROR
from collapse_lab.verify.judgement import Judgement
from collapse_lab.verify.measured import Measured, Verdict

ORDER: tuple[Verdict, ...] = ("reproduced", "not reproduced", "inconclusive", "not run")
MOST_SETTINGS = 4


def number(measured: Measured) -> str:
    """Return a measured number as text, e.g. "4.43 [3.43, 5.72], n = 3"."""
    if measured.value is None:
        return "–"
    ends = f" {interval(measured)}" if interval(measured) else ""
    return f"{value(measured)}{ends}, n = {measured.n}"


def value(measured: Measured) -> str:
    """Return the value of a measured number alone; "never" is a time that does not come, "–" no value."""
    if measured.value is None or math.isnan(measured.value):
        return "–"
    return "never" if math.isinf(measured.value) else f"{measured.value:.3g}"


def interval(measured: Measured) -> str:
    """Return the interval of a measured number, e.g. "[3.43, 5.72]"; "" where there is none."""
    if measured.lo is None or measured.hi is None:
        return ""
    return f"[{_end(measured.lo)}, {_end(measured.hi)}]"


def settings(judgement: Judgement) -> str:
    """Return how the runs of a judgement differ from those that the claim asks for."""
    more = len(judgement.setting) - MOST_SETTINGS
    named = ", ".join(judgement.setting[:MOST_SETTINGS]) + (f" and {more} more" if more > 0 else "")
    return named or "the claim's own setting"


def counts(judgements: Sequence[Judgement]) -> str:
    """Return how many claims have each verdict, e.g. "3 reproduced, 1 not run"."""
    by_verdict = Counter(judgement.verdict for judgement in judgements)
    return ", ".join(f"{by_verdict[verdict]} {verdict}" for verdict in ORDER if by_verdict[verdict])


def by_chance(judgements: Sequence[Judgement]) -> str:
    """Return how many false verdicts chance may have brought, and how many verdicts Holm's method leaves; or ""."""
    judged = [judgement for judgement in judgements if judgement.p is not None]
    decided = [judgement for judgement in judgements if judgement.verdict in ("reproduced", "not reproduced")]
    if not judged:
        return ""
    left = sum(judgement.after_holm == judgement.verdict for judgement in decided)
    without = sum(judgement.p is None for judgement in decided)
    late = sum(judgement.claim.post_hoc for judgement in decided)
    sentences = [
        f"{len(judged)} claim{'s were' if len(judged) > 1 else ' was'} judged with three seeds or more and "
        f"{'have' if len(judged) > 1 else 'has'} a p value, each at 95 %, so up to {ERROR * len(judged):.2g} false "
        "verdicts are expected by chance.",
        "Holm's method keeps the probability of any false verdict in the table below 5 %: "
        f"it leaves {left} of {len(decided)} verdicts.",
    ]
    if without:
        sentences.append(
            f"Verdicts without a p value are open then: {without}. Their seeds are all equal, or their runs are lost."
        )
    if late:
        sentences.append(f"Verdicts of claims written post hoc: {late}.")
    return " ".join(sentences)


def _end(end: float) -> str:
    return f"{'−' if end < 0 else ''}∞" if math.isinf(end) else f"{end:.3g}"
