"""Check that `bind` refuses arguments of feature extractors outside their ranges and choices."""

from __future__ import annotations

import pytest

from collapse_lab.config.binding import bind
from collapse_lab.errors import UserError

FEATURES = "collapse_lab.features"
SPEC = frozenset({"spec"})


@pytest.mark.parametrize(
    ("target", "argument", "value", "message"),
    [
        ("inception.Inception", "mode", "claen", r"mode is one of clean, legacy_pytorch, .* did you mean 'clean'\?"),
        ("inception.Inception", "batch_size", 0, r"batch_size is 1 or more; got 0"),
        ("imagenet.ImageNet", "batch_size", 0, r"batch_size is 1 or more; got 0"),
        ("clip.Clip", "batch_size", 0, r"batch_size is 1 or more; got 0"),
        ("dino.Dino", "batch_size", -1, r"batch_size is 1 or more; got -1"),
        ("text_embedding.TextEmbedding", "batch_size", 0, r"batch_size is 1 or more; got 0"),
        ("text_embedding.TextEmbedding", "max_tokens", 2, r"max_tokens is 3 or more; got 2"),
        ("pixels.Pixels", "size", 0, r"size is 1 or more; got 0"),
    ],
)
def test_an_argument_outside_its_range_is_refused(target: str, argument: str, value: object, message: str) -> None:
    with pytest.raises(UserError, match=rf"features\.tested\.{message}"):
        bind({"_target_": f"{FEATURES}.{target}", argument: value}, "features.tested", SPEC)


@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        ("inception.Inception", {"mode": "legacy_tensorflow", "batch_size": 1}),
        ("clip.Clip", {"batch_size": 1, "pretrained": None, "revision": None}),
        ("text_embedding.TextEmbedding", {"batch_size": 1, "max_tokens": 3}),
        ("pixels.Pixels", {"size": 1}),
        ("pixels.Pixels", {"size": None}),
    ],
)
def test_the_ends_of_a_range_are_accepted(target: str, arguments: dict[str, object]) -> None:
    bind({"_target_": f"{FEATURES}.{target}", **arguments}, "features.tested", SPEC)
