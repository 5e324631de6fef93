"""Reading of one picture of any format, mode and size, and its conversion to pixels of one shape."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from collapse_lab.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")

Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels of the picture
LARGEST = 178_956_970  # pixels of a picture; Pillow refuses larger ones too, unless another package has told it not to


class BadPicture(Exception):
    """Report a picture that cannot be read, with the reason; a reader adds the picture's name."""


def read_picture(source: Path | str | bytes, convert: Callable[[Image], T]) -> T:
    """Open a picture and return what `convert` makes of it.

    Args:
        source: the path or the bytes of an encoded picture.
        convert: the function that takes the opened picture; decoding happens when it first needs pixels.

    Raises:
        BadPicture: when there is no such file, the picture is damaged, or it has more than 178,956,970 pixels.
        UserError: when `convert` raises it.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            if image.width * image.height > LARGEST:
                raise BadPicture(f"it has {image.width} x {image.height} pixels, and {LARGEST} are allowed")
            return convert(image)
    except (BadPicture, UserError):
        raise
    except Exception as error:  # because Pillow's readers of many formats raise errors of many classes
        raise BadPicture(str(error) or type(error).__name__) from error


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

    Raises:
        BadPicture: when the picture holds numbers other than the whole numbers from 0 to 255.
    """
    from PIL import Image as Pillow

    if image.mode == "F" or image.mode.startswith("I"):  # float32, int32 or uint16, which Pillow would clip silently
        image = Pillow.fromarray(as_bytes(np.asarray(image)))
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


def as_bytes(array: np.ndarray) -> np.ndarray:
    """Return the numbers of a picture as uint8.

    Args:
        array: numbers of any shape and dtype.

    Raises:
        BadPicture: when one is NaN, is no whole number, or lies outside 0 to 255.
    """
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "biuf" or not array.size:
        raise BadPicture(f"it holds {array.size} values of type {array.dtype}, not numbers from 0 to 255")
    if not np.isfinite(array).all():
        raise BadPicture("it holds NaN or infinity, not whole numbers from 0 to 255")
    if array.min() < 0 or array.max() > 255 or not np.array_equal(array, np.round(array)):
        raise BadPicture(f"it holds numbers from {array.min()} to {array.max()}, not whole numbers from 0 to 255")
    return array.astype(np.uint8)


def central_square(width: int, height: int) -> Box:
    """Return the largest square in the middle of a picture, on whole pixels."""
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return (left, top, left + side, top + side)
