"""Every claim of the papers: its source, cells, statistic and size, and a made-up ledger for each verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from collapse_lab.results.names import Name
from collapse_lab.results.run import Run
from collapse_lab.verify.cells import cells
from collapse_lab.verify.claims import SOURCES, Claim, Test, read, shipped
from collapse_lab.verify.judgement import Judgement, judge_claim
from collapse_lab.verify.measured import Needed
from tests.verify.ledgers import run_of, values_of

SHIPPED = [one for path in shipped() for one in read(path)]
# Numbers of probes that have no panel of their own in the report, and so no entry in the catalogue
OF_PROBES = (
    *("sampled_variance", "mean_step", "absorbed", "absorbed_0", "rare_lost", "common_lost"),
    *("direction_1", "direction_4", "class_information", "perplexity_zero_shot"),
)
EVERY = pytest.mark.parametrize("one", SHIPPED, ids=lambda one: f"{one.paper}-{one.id}")


def inside(needed: Needed) -> float:
    """Return a value well inside the range."""
    if math.isfinite(needed.low) and math.isfinite(needed.high):
        return (needed.low + needed.high) / 2
    return needed.low + _far(needed.low) if math.isfinite(needed.low) else needed.high - _far(needed.high)


def outside(needed: Needed) -> float:
    """Return a value well outside the range."""
    if math.isfinite(needed.high):
        return needed.high + _far(needed.high)
    return needed.low - _far(needed.low)


def end(needed: Needed) -> float:
    """Return an end of the range."""
    return needed.low if math.isfinite(needed.low) else needed.high


def _far(limit: float) -> float:
    return 0.4 * abs(limit) if limit else 0.4


def judged(one: Claim, values: Sequence[float], holds: bool = True) -> Judgement:
    """Return the judgement of a claim from made-up runs of its cells, one seed for each value of its statistic."""
    runs: list[Run] = []
    for seed, value in enumerate(values):
        ledger = values_of(one.test, list(one.groups), value, seed)
        if one.condition is not None:
            limit = end(one.condition.needed)
            shortfall = math.copysign(0.2 * abs(limit), 1 if math.isfinite(one.condition.needed.high) else -1)
            value = inside(one.condition.needed) if holds else limit + shortfall
            condition = values_of(one.condition, list(one.groups), value, seed)
            ledger = condition | ledger if holds else ledger | condition
        runs += [run_of(one, group, seed, ledger) for group in one.groups]
    return judge_claim(one, runs)


def about(value: float, test: Test) -> list[float]:
    """Return three values that differ by a thousandth, around one."""
    apart = 1e-3 * (abs(value) or 1.0)
    return [value - apart, value, value + apart] if test.statistic != "spread_over_seeds" else [value] * 3


@EVERY
def test_a_claim_has_a_source_cells_a_statistic_and_a_size(one: Claim) -> None:
    assert set(one.known_from) <= set(SOURCES)
    assert "arXiv:" in one.source or "doi:" in one.source
    for name in (Name.of(metric) for test in one.tests for metric in test.metrics):
        assert name.quantity is not None or name.metric in OF_PROBES, name.key
    assert one.size
    assert len(one.seeds) >= 3
    assert cells(one).keys() == one.groups.keys()
    if one.test.statistic != "trend" and not one.test.statistic.startswith("least_"):  # these take every group
        assert set(one.groups) <= {str(value) for test in one.tests for value in test.arguments.values()}


@EVERY
def test_a_claim_names_the_data_set_that_its_sentence_names(one: Claim) -> None:
    sentence, flats = f"{one.claim} {one.source}".lower(), [cell.flat for cell in cells(one).values()]
    for word, target in (("mnist", ".MNIST"), ("flowers", ".Flowers102"), ("birds", ""), ("wikitext", ".WikiText2")):
        if word in sentence and target:
            assert all(str(flat["dataset._target_"]).endswith(target) for flat in flats), word
    if "retrained" in one.claim or "fine-tuned" in one.claim:
        assert all(flat["population.lineage"] != "scratch" for flat in flats)
    if "from scratch" in one.claim:
        assert all(flat["population.lineage"] == "scratch" for flat in flats)


@EVERY
def test_a_made_up_ledger_gives_each_verdict(one: Claim) -> None:
    needed = one.test.needed
    reproduced, refuted = (judged(one, about(place(needed), one.test)) for place in (inside, outside))
    assert (reproduced.verdict, reproduced.measured.n) == ("reproduced", 3), reproduced.reason
    assert (refuted.verdict, refuted.measured.n) == ("not reproduced", 3), refuted.reason
    assert reproduced.measured.value == pytest.approx(inside(needed), rel=1e-2, abs=0.03)
    limit = end(needed)
    across = judged(one, [limit - _far(limit) / 2, limit, limit + _far(limit) / 2])
    assert across.verdict == "inconclusive", across.reason
    assert across.shown
    alone = judged(one, [inside(needed)])
    assert (alone.verdict, alone.reason) == ("inconclusive", "one seed: a verdict needs 3 or more")
    assert judge_claim(one, []).verdict == "not run"


@pytest.mark.parametrize("one", [one for one in SHIPPED if one.condition], ids=lambda one: f"{one.paper}-{one.id}")
def test_a_claim_whose_condition_does_not_hold_is_inconclusive(one: Claim) -> None:
    without = judged(one, about(inside(one.test.needed), one.test), holds=False)
    assert without.verdict == "inconclusive"
    assert "condition" in without.reason
