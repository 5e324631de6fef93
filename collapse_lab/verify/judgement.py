"""A claim judged from the runs that are there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from collapse_lab.errors import UserError
from collapse_lab.results.collect import Run
from collapse_lab.results.comparable import require_alike
from collapse_lab.verify import statistics
from collapse_lab.verify.cells import Candidate, commands, select
from collapse_lab.verify.claims import Claim
from collapse_lab.verify.measured import Measured, Verdict, judge


@dataclass(frozen=True)
class Judgement:
    """A verdict with what it rests on.

    setting: what the runs have otherwise than the experiment.
    others: the same claim judged by other runs that could, at smaller n or at other settings.
    """

    claim: Claim
    verdict: Verdict
    reason: str
    measured: Measured
    setting: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    others: tuple[Judgement, ...] = ()

    @property
    def commands(self) -> list[str]:
        """What would run it; what is done already is not run again."""
        return commands(self.claim)

    def plain(self) -> dict[str, Any]:
        """For JSON, which has no infinity: a time that is never reached is the text "never"."""
        claim, measured = self.claim, self.measured
        ends = (("at_least", claim.needed.low), ("at_most", claim.needed.high))
        return {
            "id": claim.id,
            "paper": claim.paper,
            "claim": claim.claim,
            "source": claim.source,
            "known_from": list(claim.known_from),
            "statistic": claim.statistic,
            "arguments": dict(claim.arguments),
            "needed": {name: end for name, end in ends if math.isfinite(end)},
            "size": claim.size,
            "verdict": self.verdict,
            "reason": self.reason,
            **{key: _finite(getattr(measured, key)) for key in ("value", "lo", "hi")},
            "n": measured.n,
            "note": measured.note,
            "setting": list(self.setting),
            "runs": list(self.runs),
            "commands": self.commands,
            "others": [{key: other.plain()[key] for key in _OTHER} for other in self.others],
        }


_OTHER = ("verdict", "reason", "value", "lo", "hi", "n", "setting", "runs")


def judged(claim: Claim, runs: Sequence[Run]) -> Judgement:
    """The verdict by the best candidate among `runs`, beside those of all others.

    Raises:
        UserError: the configuration has no such experiment or setting.
    """
    found = select(claim, runs)
    if not found.candidates:
        return Judgement(claim, "not run", found.lacking, Measured(None))
    first, *others = (_by(claim, candidate) for candidate in found.candidates)
    return Judgement(claim, first.verdict, first.reason, first.measured, first.setting, first.runs, tuple(others))


def _by(claim: Claim, candidate: Candidate) -> Judgement:
    behind = tuple(sorted({run.signature for run in candidate.runs}))
    try:
        for metric in claim.metrics:
            require_alike(candidate.runs, metric)
        measured = statistics.known()[claim.statistic](candidate.cells, **claim.arguments)
    except UserError as error:
        return Judgement(claim, "inconclusive", str(error), Measured(None), candidate.setting, behind)
    verdict, reason = judge(measured, claim.needed)
    return Judgement(claim, verdict, reason, measured, candidate.setting, behind)


def _finite(value: float | None) -> float | str | None:
    return "never" if value is not None and math.isinf(value) else value
