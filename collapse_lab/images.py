"""Pixels in the two forms that the laboratory keeps them in, and grids of them to look at."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from collapse_lab.errors import UserError

GUTTER = 1  # pixels between images, before they are enlarged
VISIBLE = 48  # the least side, in pixels, of an image in a grid


def as_float(data: Tensor) -> Float[Tensor, "*shape"]:
    """`x / 127.5 - 1` where `data` is uint8; floating-point data is in [-1, 1] already, and becomes float32.

    Raises:
        UserError: another dtype.
    """
    if data.dtype == torch.uint8:
        return data.to(torch.float32) / 127.5 - 1
    if not data.is_floating_point():
        raise UserError(f"images are uint8 in [0, 255] or floating-point in [-1, 1], not {data.dtype}")
    return data.to(torch.float32)


def as_uint8(data: Tensor) -> UInt8[Tensor, "*shape"]:
    """The integer nearest to `127.5 (x + 1)`, within [0, 255]; uint8 comes back as it is.

    Raises:
        UserError: another dtype, or NaN, which has no colour.
    """
    if data.dtype == torch.uint8:
        return data
    values = as_float(data)
    if bool(values.isnan().any()):
        raise UserError("the images hold NaN: the model that made them has diverged")
    return ((values + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def grid(data: Tensor, columns: int | None = None) -> Image.Image:
    """The images (n, c, h, w) row by row, `columns` to a row (default: as square as n allows), c of 1 or 3.

    Small images are enlarged by whole factors and without blending, so that each of their pixels is seen.

    Raises:
        UserError: no images, another shape, or columns < 1.
    """
    if data.ndim != 4 or data.shape[0] == 0 or data.shape[1] not in (1, 3):
        raise UserError(f"a grid is of images (n, c, h, w) with c of 1 or 3, not {tuple(data.shape)}")
    n, channels, height, width = data.shape
    columns = math.ceil(math.sqrt(n)) if columns is None else min(columns, n)
    if columns < 1:
        raise UserError(f"a grid has 1 column or more, not {columns}")
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
