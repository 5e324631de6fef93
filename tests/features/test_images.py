from __future__ import annotations

import numpy as np
import pytest
import torch

from collapse_lab.errors import UserError
from collapse_lab.images import as_float, as_uint8, grid


def test_every_level_survives_conversion_to_float_and_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(as_uint8(as_float(levels)), levels)
    assert (float(as_float(levels).min()), float(as_float(levels).max())) == (-1, 1)


def test_values_outside_the_range_are_clipped() -> None:
    assert as_uint8(torch.tensor([-3.0, -1.0, 0.0, 1.0, 9.0])).tolist() == [0, 0, 128, 255, 255]


def test_other_types_and_nan_are_refused() -> None:
    with pytest.raises(UserError, match="int64"):
        as_float(torch.zeros(3, dtype=torch.int64))
    with pytest.raises(UserError, match="NaN"):
        as_uint8(torch.tensor([float("nan")]))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_holds_every_pixel(channels: int) -> None:
    images = torch.randint(0, 256, (5, channels, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    picture = np.asarray(grid(images, columns=3))
    assert picture.shape[:2] == (6 * (8 + 1 + 8), 6 * (8 + 1 + 8 + 1 + 8))
    small = picture[::6, ::6].reshape(17, 26, channels)
    for i in range(5):
        top, left = i // 3 * 9, i % 3 * 9
        assert np.array_equal(small[top : top + 8, left : left + 8], images[i].permute(1, 2, 0).numpy())
    assert (small[8] == 255).all()
    assert (small[9:, 18:] == 255).all()


def test_large_images_are_not_enlarged_and_a_short_row_leaves_no_gap() -> None:
    assert grid(torch.zeros(2, 3, 64, 64), columns=10).size == (129, 64)
    assert grid(torch.zeros(4, 1, 64, 64)).size == (129, 129)


@pytest.mark.parametrize("shape", [(0, 1, 8, 8), (2, 2, 8, 8), (8, 8)])
def test_a_grid_without_images_or_columns_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="grid"):
        grid(torch.zeros(shape))
    with pytest.raises(UserError, match="column"):
        grid(torch.zeros(2, 1, 8, 8), columns=0)
