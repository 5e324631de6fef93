"""Judgement of a claim from the runs that there are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from collapse_lab.errors import UserError
from collapse_lab.results.comparable import require_comparable
from collapse_lab.results.run import Run
from collapse_lab.verify import statistics
from collapse_lab.verify.claims import Claim
from collapse_lab.verify.commands import commands
from collapse_lab.verify.measured import Measured, Verdict, judge
from collapse_lab.verify.selection import Candidate, select

_KEYS_OF_OTHERS = ("verdict", "reason", "value", "lo", "hi", "n", "setting", "runs")


@dataclass(frozen=True)
class Judgement:
    """Hold the verdict of a claim with its evidence.

    Attributes:
        claim: The claim.
        verdict: The verdict.
        reason: Why it is this verdict, in words.
        measured: The statistic of the claim, measured in the runs.
        setting: How the runs' settings differ from the experiment's.
        runs: The signatures of the runs, sorted.
        others: The same claim judged from other runs, at smaller n or at other settings.
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
        """Return the commands that run the claim; runs that are complete are not run again."""
        return commands(self.claim)

    def plain(self) -> dict[str, Any]:
        """Return the judgement for JSON; as JSON has no infinity, a time that is never reached is the text "never"."""
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
            "others": [{key: other.plain()[key] for key in _KEYS_OF_OTHERS} for other in self.others],
        }


def judge_claim(claim: Claim, runs: Sequence[Run]) -> Judgement:
    """Return the judgement of a claim by its best candidate among `runs`, with those by all other candidates.

    Args:
        claim: The claim.
        runs: All runs that were collected, of any experiment.

    Raises:
        UserError: The configuration has no such experiment, or no such setting.
    """
    selection = select(claim, runs)
    if not selection.candidates:
        return Judgement(claim, "not run", selection.lacking, Measured(None))
    best, *others = (_judge_candidate(claim, candidate) for candidate in selection.candidates)
    return Judgement(claim, best.verdict, best.reason, best.measured, best.setting, best.runs, tuple(others))


def _judge_candidate(claim: Claim, candidate: Candidate) -> Judgement:
    signatures = tuple(sorted({run.signature for run in candidate.runs}))
    try:
        for metric in claim.metrics:
            require_comparable(candidate.runs, metric)
        measured = statistics.known()[claim.statistic](candidate.groups, **claim.arguments)
    except UserError as error:
        return Judgement(claim, "inconclusive", str(error), Measured(None), candidate.setting, signatures)
    verdict, reason = judge(measured, claim.needed)
    return Judgement(claim, verdict, reason, measured, candidate.setting, signatures)


def _finite(value: float | None) -> float | str | None:
    return "never" if value is not None and math.isinf(value) else value
