from __future__ import annotations

import pytest

from tests.metrics.told_apart import PERFECT, SPACES, detected, extractor_of, measured, measures, real, table

DISTANCES = {"fid", "fd_infinity", "kid", "cmmd"}
VARIETY = {"recall", "coverage", "vendi", "pairwise_distance"}
COPYING = {"authenticity", "near_copies"}
CLASSES = {"mode_coverage", "class_entropy"}
FIDELITY = {"precision", "density"}

# The metrics that have to distinguish each generator from the perfect one, and those that cannot: an image of few
# modes is as good as any other, and a copy is as good as its original. The other metrics may detect it or not.
DETECTS = {
    "pixels": {
        "collapsed": DISTANCES | VARIETY,
        "blurred": DISTANCES | {"recall", "coverage", "vendi", "pairwise_distance"},
        "memorising": COPYING,
    },
    "classifier": {
        "collapsed": DISTANCES | VARIETY | CLASSES,
        "blurred": DISTANCES | FIDELITY | {"recall", "coverage", "authenticity"},
        "memorising": COPYING,
    },
}
BLIND = {
    "collapsed": FIDELITY | {"near_copies"},
    "blurred": CLASSES | {"near_copies"},
    "memorising": {"fid", "kid", "cmmd"} | FIDELITY | CLASSES | {"vendi", "pairwise_distance", "coverage"},
}


# In pixels alone by default, because a classifier is trained first, and the metrics are the same
@pytest.mark.parametrize("space", [s if s == "pixels" else pytest.param(s, marks=pytest.mark.slow) for s in SPACES])
def test_each_metric_detects_the_generators_that_it_should(space: str) -> None:
    digits = real()
    estimates = measured(digits, extractor_of(space, digits))
    assert set(estimates) == {PERFECT, "collapsed", "blurred", "memorising"}
    for generator, blind in BLIND.items():
        apart = detected(estimates, generator)
        assert apart >= DETECTS[space][generator], generator
        assert not apart & blind, generator
    # Also the direction: collapse loses variety and no fidelity, blur loses similarity, memorising loses authenticity
    assert estimates["collapsed"]["recall"].value < estimates[PERFECT]["recall"].value / 2
    assert estimates["collapsed"]["vendi"].value < estimates[PERFECT]["vendi"].value
    assert estimates["blurred"]["fid"].value > 2 * estimates[PERFECT]["fid"].value
    assert estimates["memorising"]["authenticity"].value < 0.01
    assert estimates["memorising"]["near_copies"].value > 0.99
    assert estimates[PERFECT]["near_copies"].value < 0.01
    lines = list(table(estimates))
    assert len(lines) == 2 + len(measures(estimates))
    assert all(line.count("|") == 6 for line in lines)
