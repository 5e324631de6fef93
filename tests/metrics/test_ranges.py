"""Check that `bind` refuses arguments of metrics outside their ranges and choices."""

from __future__ import annotations

import math

import pytest

from collapse_lab.config.binding import bind
from collapse_lab.errors import UserError

METRICS = "collapse_lab.metrics"


@pytest.mark.parametrize(
    ("target", "argument", "value", "message"),
    [
        ("diversity.PairwiseDistance", "distance", "cosinus", r"distance is one of euclidean, cosine; .* 'cosine'\?"),
        ("classes.Classes", "least", 0, r"least is 1 or more; got 0"),
        ("prdc.PRDC", "k", 0, r"k is 1 or more; got 0"),
        ("fd_infinity.FDInfinity", "blocks", 1, r"blocks is 2 or more; got 1"),
        ("cmmd.CMMD", "sigma", 0.0, r"sigma is above 0; got 0\.0"),
        ("cmmd.CMMD", "sigma", math.inf, r"sigma takes a finite number; got inf"),
        ("vendi.Vendi", "q", 0.0, r"q is above 0; got 0\.0"),
        ("vendi.Vendi", "q", math.nan, r"q takes a finite number; got nan"),
    ],
)
def test_an_argument_outside_its_range_is_refused(target: str, argument: str, value: object, message: str) -> None:
    with pytest.raises(UserError, match=rf"metrics\.tested\.{message}"):
        bind({"_target_": f"{METRICS}.{target}", argument: value}, "metrics.tested")


@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        ("diversity.PairwiseDistance", {"distance": "cosine"}),
        ("classes.Classes", {"least": 1}),
        ("prdc.PRDC", {"k": 1}),
        ("fd_infinity.FDInfinity", {"blocks": 2}),
        ("vendi.Vendi", {"q": math.inf}),
        ("vendi.Vendi", {"q": 2}),
    ],
)
def test_the_ends_of_a_range_are_accepted(target: str, arguments: dict[str, object]) -> None:
    bind({"_target_": f"{METRICS}.{target}", **arguments}, "metrics.tested")
