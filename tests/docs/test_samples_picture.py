"""The picture of samples beside each other shows the first row of every grid, and nothing of the rows below it."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from collapse_lab.images import grid

# By name, because mypy knows a file of docs/ as a module of no package, as the hooks of the site import each other
draw = importlib.import_module("docs.samples_picture").draw

RED, BLUE, GREEN = (255, 0, 0), (0, 0, 255), (0, 255, 0)


def _grid(first: tuple[int, int, int]) -> Image.Image:
    """Return a grid of two rows of three images: those of the first row have this colour, the others are green."""
    colours = torch.tensor([first] * 3 + [GREEN] * 3, dtype=torch.uint8)
    return grid(colours[:, :, None, None].expand(-1, -1, 8, 8), columns=3)


def test_the_first_rows_of_the_grids_stand_below_each_other(tmp_path: Path) -> None:
    draw({"real": _grid(RED), "ratio 1": _grid(BLUE)}, ["a, x", "b, x", "c, x", "d", "e", "f"], 3, tmp_path / "out.png")
    pixels = np.asarray(Image.open(tmp_path / "out.png").convert("RGB"))
    rows = [np.flatnonzero((pixels == colour).all(-1).any(1)) for colour in (RED, BLUE)]
    assert rows[0].max() < rows[1].min()
    assert not (pixels == GREEN).all(-1).any()
