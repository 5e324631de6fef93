"""Judgement of a claim from the runs that there are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from collapse_lab.errors import UserError
from collapse_lab.results.comparable import require_comparable
from collapse_lab.results.multiplicity import ERROR, holm
from collapse_lab.results.names import Name
from collapse_lab.results.references import with_reference
from collapse_lab.results.run import Run
from collapse_lab.verify import statistics
from collapse_lab.verify.claims import Claim, Test
from collapse_lab.verify.commands import commands
from collapse_lab.verify.measured import Measured, Verdict, judge
from collapse_lab.verify.power import detectable, p_value, shown
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
        p: The smallest p at which there would be a verdict; None where there is no interval over three seeds.
        p_holm: The same after Holm's method over all claims of the table.
        setting: How the runs' settings differ from those that the claim asks for; empty but in `others`.
        runs: The signatures of the runs, sorted.
        others: The same claim judged from runs at other settings that have its numbers; they decide nothing.
    """

    claim: Claim
    verdict: Verdict
    reason: str
    measured: Measured
    p: float | None = None
    p_holm: float | None = None
    setting: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    others: tuple[Judgement, ...] = ()

    @property
    def commands(self) -> list[str]:
        """Return the commands that run the claim; runs that are complete are not run again."""
        return commands(self.claim)

    @property
    def detectable(self) -> float | None:
        """Return how far beyond its limit the truth must lie for these runs to show it with 80 % probability."""
        return detectable(self.measured, self.claim.test.needed)

    @property
    def shown(self) -> str:
        """Return the values that these runs would have shown with 80 % probability, in words; "" where not known."""
        return shown(self.detectable, self.claim.test.needed)

    @property
    def after_holm(self) -> Verdict:
        """Return the verdict that is left when the whole table has a false one with at most 5 % probability."""
        decided = self.verdict in ("reproduced", "not reproduced")
        return self.verdict if not decided or (self.p_holm is not None and self.p_holm <= ERROR) else "inconclusive"

    def plain(self) -> dict[str, Any]:
        """Return the judgement for JSON, which has no infinity: a time may be "never", an end "unbounded"."""
        claim, measured = self.claim, self.measured
        return {
            "id": claim.id,
            "paper": claim.paper,
            "claim": claim.claim,
            "source": claim.source,
            "known_from": list(claim.known_from),
            **_plain_test(claim.test),
            "condition": None if claim.condition is None else _plain_test(claim.condition),
            "size": claim.size,
            "post_hoc": claim.post_hoc,
            "verdict": self.verdict,
            "reason": self.reason,
            "value": "never" if measured.value == math.inf else _finite(measured.value),
            "lo": _finite(measured.lo),
            "hi": _finite(measured.hi),
            "n": measured.n,
            "scale": measured.scale,
            "note": measured.note,
            "p": self.p,
            "p_holm": self.p_holm,
            "verdict_after_holm": self.after_holm,
            "detectable": _finite(self.detectable),
            "shown": self.shown,
            "setting": list(self.setting),
            "runs": list(self.runs),
            "commands": self.commands,
            "others": [{key: other.plain()[key] for key in _KEYS_OF_OTHERS} for other in self.others],
        }


def judge_claims(claims: Sequence[Claim], runs: Sequence[Run]) -> list[Judgement]:
    """Return the judgement of each claim, and what is left of them all by Holm's method.

    Args:
        claims: The claims of the table.
        runs: All runs that were collected, of any experiment.

    Raises:
        UserError: No preset can make the runs that a claim asks for.
    """
    return corrected([judge_claim(claim, runs) for claim in claims])


def corrected(judgements: Sequence[Judgement]) -> list[Judgement]:
    """Return the judgements of a table with their p values after Holm's method."""
    adjusted = holm([judgement.p for judgement in judgements])
    return [replace(judgement, p_holm=p) for judgement, p in zip(judgements, adjusted, strict=True)]


def judge_claim(claim: Claim, runs: Sequence[Run]) -> Judgement:
    """Return the judgement of one claim by the runs at its own setting, and beside it those at other settings.

    Args:
        claim: The claim.
        runs: All runs that were collected, of any experiment.

    Raises:
        UserError: No preset can make the runs that the claim asks for.
    """
    selection = select(claim, runs)
    candidates = (_judge_candidate(claim, candidate) for candidate in selection.others)
    others = tuple(other for other in candidates if other.measured.value is not None)
    if selection.own is None:
        return Judgement(claim, "not run", selection.lacking, Measured(None), others=others)
    return replace(_judge_candidate(claim, selection.own), others=others)


def _judge_candidate(claim: Claim, candidate: Candidate) -> Judgement:
    signatures = tuple(sorted({run.signature for run in candidate.runs}))
    try:
        for metric in (metric for test in claim.tests for metric in test.metrics):
            for runs in candidate.groups.values():  # a statistic checks the groups that it compares with each other
                require_comparable(runs, metric)
        measured, *condition = (_measured(test, candidate) for test in claim.tests)
    except UserError as error:
        none = Measured(None)
        return Judgement(claim, "inconclusive", str(error), none, setting=candidate.setting, runs=signatures)
    verdict, reason = judge(measured, claim.test.needed)
    p = p_value(measured, claim.test.needed)
    if claim.condition is not None and verdict in ("reproduced", "not reproduced"):
        holds, why = judge(condition[0], claim.condition.needed)
        p_condition = p_value(condition[0], claim.condition.needed)
        p = None if p is None or p_condition is None else max(p, p_condition)
        if holds != "reproduced":
            verdict, reason = "inconclusive", f"its condition is {holds}: {_described(claim.condition)}; {why}"
            p = None
    return Judgement(claim, verdict, reason, measured, p, None, candidate.setting, signatures)


def _measured(test: Test, candidate: Candidate) -> Measured:
    """Return what a test measures; its note names a reference that is not the real rows."""
    measured: Measured = statistics.known()[test.statistic](candidate.groups, **test.arguments)
    if measured.value is None:
        return measured
    names = [with_reference(Name.of(metric), candidate.runs) for metric in test.metrics]
    against = dict.fromkeys(f"against {name.reference}" for name in names if name.reference)
    return replace(measured, note=", ".join(filter(None, (measured.note, *against))))


def _described(test: Test) -> str:
    arguments = ", ".join(f"{key} {value}" for key, value in test.arguments.items())
    return f"{test.statistic} ({arguments}) {test.needed}"


def _plain_test(test: Test) -> dict[str, Any]:
    ends = (("at_least", test.needed.low), ("at_most", test.needed.high))
    return {
        "statistic": test.statistic,
        "arguments": dict(test.arguments),
        "needed": {name: end for name, end in ends if math.isfinite(end)},
    }


def _finite(value: float | None) -> float | str | None:
    """Return a number for JSON: infinity is a text, and what is not a number is null."""
    if value is None or math.isnan(value):
        return None
    return value if math.isfinite(value) else "unbounded"
