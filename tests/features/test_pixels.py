from __future__ import annotations

import dataclasses

import pytest
import torch

from collapse_lab.errors import UserError
from collapse_lab.features.pixels import Pixels
from collapse_lab.types import Spec
from tests.features.cases import DIGITS, digits, noise


def test_pixels_are_flattened_to_the_unit_range() -> None:
    rows = digits().reference
    values = Pixels(DIGITS).extract(rows).values
    torch.testing.assert_close(values, rows.data.flatten(1).float() / 255)
    floats = dataclasses.replace(rows, data=rows.data.float() / 127.5 - 1)
    assert torch.equal(Pixels(DIGITS).extract(floats).values, values)


def test_pooled_pixels_are_means() -> None:
    spec = Spec("image", (3, 16, 8))
    rows = noise(spec, 4)
    pooled = Pixels(spec, size=4).extract(rows).values.reshape(4, 3, 4, 4)
    expected = (rows.data.float() / 255).reshape(4, 3, 4, 4, 4, 2).mean((3, 5))
    torch.testing.assert_close(pooled, expected)


def test_fingerprints_depend_on_the_size() -> None:
    assert Pixels(DIGITS).fingerprint == Pixels(DIGITS).fingerprint
    assert Pixels(DIGITS).fingerprint != Pixels(DIGITS, size=4).fingerprint


def test_bad_input_is_refused() -> None:
    with pytest.raises(UserError, match="points"):
        Pixels(Spec("points", (2,)))
    with pytest.raises(UserError, match="size 9"):
        Pixels(DIGITS, size=9)
    with pytest.raises(UserError, match="expect images"):
        Pixels(DIGITS).extract(noise(Spec("image", (1, 9, 8)), 2))
