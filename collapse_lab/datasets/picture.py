"""Conversion of one picture of any mode and size to pixels of one shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels of the picture


def pixels(image: Image, size: int | None, channels: int, box: Box | None = None) -> np.ndarray:
    """Return the pixels of the central square of a picture, or of `box`, resized with antialiasing (bicubic).

    The filter also uses pixels of the picture outside the square, so the edge of the square is not a border.

    Args:
        image: the picture; transparent pixels become white.
        size: side of the result in pixels. None keeps the whole picture at its own size.
        channels: 1 for grey, 3 for colour.
        box: rectangle to keep instead of the central square, in pixels of the picture.

    Returns:
        (c, size, size) uint8, or (c, h, w) where size is None.
    """
    from PIL import Image as Pillow

    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Pillow.new("RGBA", layer.size, (255, 255, 255, 255))
        image = Pillow.alpha_composite(white, layer)
    image = image.convert("L" if channels == 1 else "RGB")
    if size is not None:
        region = central_square(*image.size) if box is None else box
        image = image.resize((size, size), Pillow.Resampling.BICUBIC, box=region)
    array = np.asarray(image, np.uint8)
    return array[None] if channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))


def central_square(width: int, height: int) -> Box:
    """Return the largest square in the middle of a picture, on whole pixels."""
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return (left, top, left + side, top + side)
