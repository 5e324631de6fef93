"""Pixels inside a network: their range, mirrored rows, and the form of samples."""

from __future__ import annotations

import pytest
import torch

from collapse_lab.errors import UserError
from collapse_lab.nn.pixels import Pixels


def rows() -> torch.Tensor:
    return torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8)


def test_the_usual_range_is_that_of_torchvision_normalised_by_one_half() -> None:
    x = Pixels().seen(rows(), torch.Generator())
    torch.testing.assert_close(x, (rows().double() / 255 - 0.5).div(0.5).float(), rtol=0, atol=2e-7)


@pytest.mark.parametrize("low", [-1.0, 0.0, -3.0])
@pytest.mark.parametrize("high", [1.0, 2.5])
def test_every_grey_level_comes_back(low: float, high: float) -> None:
    pixels = Pixels(range=[low, high])
    x = pixels.seen(rows(), torch.Generator())
    assert float(x.min()) == pytest.approx(low)
    assert float(x.max()) == pytest.approx(high, rel=1e-6)
    assert torch.equal(pixels.published(x), rows())


def test_uint8_clamps_and_float32_does_not() -> None:
    x = torch.tensor([-0.5, 0.25, 1.5]).view(1, 1, 1, 3)
    assert Pixels(range=[0, 1]).published(x).flatten().tolist() == [0, 64, 255]
    kept = Pixels(range=[0, 1], stored="float32").published(x)
    assert kept.dtype == torch.float32
    assert kept.flatten().tolist() == [-2.0, -0.5, 2.0]


def test_float32_samples_are_seen_again_as_the_sampler_left_them() -> None:
    pixels = Pixels(range=[0, 1], stored="float32")
    x = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(pixels.scaled(pixels.published(x)), x, rtol=0, atol=1e-6)


def test_half_of_the_rows_are_mirrored() -> None:
    batch = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8).expand(2000, 1, 8, 8)
    x = Pixels(mirrored=True).seen(batch, torch.Generator().manual_seed(1))
    straight = Pixels().scaled(batch[:1])
    is_straight = (x == straight).flatten(1).all(1)
    is_mirrored = (x == straight.flip(-1)).flatten(1).all(1)
    assert bool((is_straight | is_mirrored).all())
    assert abs(float(is_mirrored.double().mean()) - 0.5) < 4 * (0.25 / 2000) ** 0.5


def test_nothing_is_drawn_without_mirroring() -> None:
    generator = torch.Generator().manual_seed(5)
    before = generator.get_state()
    Pixels().seen(rows(), generator)
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("wrong", [[0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0, 2.0]])
def test_a_wrong_range_is_refused(wrong: list[float]) -> None:
    with pytest.raises(UserError, match=r"model\.pixels\.range is \[low, high\]"):
        Pixels(range=wrong)
