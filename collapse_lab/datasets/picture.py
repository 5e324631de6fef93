"""From one picture of any make to pixels of one shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels of the picture


def pixels(image: Image, size: int | None, channels: int, box: Box | None = None) -> np.ndarray:
    """A picture as (c, size, size) uint8: its central square, or `box`, resized with antialiasing (bicubic).

    Pixels at the rim of the square are filtered with what lies beyond it in the picture.

    size: None keeps the whole picture as it is, (c, h, w).
    channels: 1 for grey, 3 for colour; transparency is laid on white.
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
    """The largest square in the middle of a picture, on whole pixels."""
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return (left, top, left + side, top + side)
