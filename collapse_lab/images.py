"""Convert pixels between uint8 and float32, and draw grids of images."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from collapse_lab.errors import UserError

GUTTER = 1  # pixels between two images of a grid, before it is enlarged
VISIBLE = 48  # the least length in pixels of an image's longer side in a grid


def as_float(data: Tensor) -> Float[Tensor, "*shape"]:
    """Return images as float32 in [-1, 1]: x / 127.5 - 1 of uint8; floating-point data is in that range already.

    Args:
        data: uint8 in [0, 255], or floating-point in [-1, 1].

    Raises:
        UserError: another dtype.
    """
    if data.dtype == torch.uint8:
        return data.to(torch.float32) / 127.5 - 1
    if not data.is_floating_point():
        raise UserError(
            f"images are uint8 in [0, 255] or floating-point in [-1, 1], not {data.dtype}: convert them first"
        )
    return data.to(torch.float32)


def as_uint8(data: Tensor) -> UInt8[Tensor, "*shape"]:
    """Return images as uint8: the integer nearest to 127.5 (x + 1), clipped to [0, 255]; uint8 stays as it is.

    Args:
        data: uint8 in [0, 255], or floating-point in [-1, 1].

    Raises:
        UserError: another dtype, or NaN, which has no colour.
    """
    if data.dtype == torch.uint8:
        return data
    values = as_float(data)
    if bool(values.isnan().any()):
        raise UserError("the images hold NaN: the model that generated them has diverged")
    return ((values + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def grid(data: Tensor, columns: int | None = None) -> Image.Image:
    """Return one picture of n images, row by row.

    Small images are enlarged by whole factors and without blending, so that each of their pixels is visible.

    Args:
        data: images (n, c, h, w), with c of 1 or 3, as `as_uint8` takes them.
        columns: images per row, 1 or more; None makes the grid as square as n allows.

    Raises:
        UserError: no images, another shape, or columns < 1.
    """
    if data.ndim != 4 or data.shape[0] == 0 or data.shape[1] not in (1, 3):
        raise UserError(f"a grid takes images (n, c, h, w) with c of 1 or 3, not {tuple(data.shape)}")
    n, channels, height, width = data.shape
    columns = math.ceil(math.sqrt(n)) if columns is None else min(columns, n)
    if columns < 1:
        raise UserError(f"a grid needs 1 column or more, not {columns}")
    rows = math.ceil(n / columns)
    canvas = torch.full(
        (channels, rows * (height + GUTTER) - GUTTER, columns * (width + GUTTER) - GUTTER),
        255,
        dtype=torch.uint8,
    )
    for i, image in enumerate(as_uint8(data.detach().cpu())):
        top, left = i // columns * (height + GUTTER), i % columns * (width + GUTTER)
        canvas[:, top : top + height, left : left + width] = image
    array = canvas[0].numpy() if channels == 1 else canvas.permute(1, 2, 0).contiguous().numpy()
    picture = Image.fromarray(array)
    factor = max(1, math.ceil(VISIBLE / max(height, width)))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
