from __future__ import annotations

import pytest

from tests.metrics.told_apart import PERFECT, SPACES, extractor_of, measured, measures, real, table, told

DISTANCES = {"fid", "fd_infinity", "kid", "cmmd"}
VARIETY = {"recall", "coverage", "vendi", "pairwise_distance"}
COPYING = {"authenticity", "near_copies"}
CLASSES = {"mode_coverage", "class_entropy"}
FIDELITY = {"precision", "density"}

# What has to tell each generator from the perfect one, and what cannot: an image of few modes is as good as any, a
# copy is as good as its original. The rest may or may not.
TELL = {
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


@pytest.mark.parametrize("space", SPACES)
def test_those_tell_that_should(space: str) -> None:
    found = real()
    estimates = measured(found, extractor_of(space, found))
    assert set(estimates) == {PERFECT, "collapsed", "blurred", "memorising"}
    for generator, blind in BLIND.items():
        apart = told(estimates, generator)
        assert apart >= TELL[space][generator], generator
        assert not apart & blind, generator
    # And which way: collapse loses variety and no fidelity, blur loses likeness, memorising loses authenticity
    assert estimates["collapsed"]["recall"].value < estimates[PERFECT]["recall"].value / 2
    assert estimates["collapsed"]["vendi"].value < estimates[PERFECT]["vendi"].value
    assert estimates["blurred"]["fid"].value > 2 * estimates[PERFECT]["fid"].value
    assert estimates["memorising"]["authenticity"].value < 0.01
    assert estimates["memorising"]["near_copies"].value > 0.99
    assert estimates[PERFECT]["near_copies"].value < 0.01
    lines = list(table(estimates))
    assert len(lines) == 2 + len(measures(estimates))
    assert all(line.count("|") == 6 for line in lines)
