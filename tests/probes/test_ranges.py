"""Ranges of the probes' arguments, which `bind` checks before a probe is built."""

from __future__ import annotations

from typing import Any

import pytest

from collapse_lab.config.binding import bind
from collapse_lab.errors import UserError

PROBES = "collapse_lab.probes"


@pytest.mark.parametrize(
    ("target", "argument", "value", "message"),
    [
        ("denoising.DenoisingLoss", "draws", 0, r"probes\.tested\.draws is 1 or more; got 0"),
        ("latent_spread.LatentSpread", "images", 1, r"probes\.tested\.images is 2 or more; got 1"),
        ("text_diversity.TextDiversity", "bleu_samples", 1, r"probes\.tested\.bleu_samples is 2 or more; got 1"),
        ("text_diversity.TextDiversity", "rare", 5, r"probes\.tested\.rare is in \[0, 1\); got 5"),
        ("text_diversity.TextDiversity", "rare", 1.0, r"probes\.tested\.rare is in \[0, 1\); got 1\.0"),
        ("text_diversity.TextDiversity", "rare", -0.1, r"probes\.tested\.rare is in \[0, 1\); got -0\.1"),
    ],
)
def test_a_number_outside_its_range_is_refused(target: str, argument: str, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        bind({"_target_": f"{PROBES}.{target}", argument: value}, "probes.tested")


@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        ("denoising.DenoisingLoss", {"draws": 1}),
        ("latent_spread.LatentSpread", {"images": 2}),
        ("text_diversity.TextDiversity", {"bleu_samples": 2, "rare": 0}),
    ],
)
def test_the_ends_of_a_range_are_admitted(target: str, arguments: dict[str, Any]) -> None:
    bind({"_target_": f"{PROBES}.{target}", **arguments}, "probes.tested")
