"""Draw what each configuration of a sweep makes of the same prompts: the pictures of emoji on their page.

    python -m docs.samples_picture FOLDER… --out docs/images/emoji.png

The first row is of real pictures, the second one of generation 0. The others are of the last generation, one row for
each configuration. All are of the first seed, and those of one column have the same prompt and the same latents.
"""

from __future__ import annotations

import argparse
import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from collapse_lab.results.collect import collect

LETTERS = 11  # of a line above a column


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the samples of some runs into a file."""
    parser = argparse.ArgumentParser(prog="python -m docs.samples_picture", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="run folders, or folders of runs")
    parser.add_argument("--prompts", default="seen", metavar="SET", help="the set of prompts; seen")
    parser.add_argument("--out", type=Path, required=True, help="the picture, a .png")
    options = parser.parse_args(arguments)
    groups = collect(options.folders).seed_groups
    first = groups[0].runs[0]
    subset: str = options.prompts
    words = json.loads((first.folder / "real" / f"{subset}.json").read_text())
    paths = {"real": first.folder / "real" / f"{subset}.png", "generation 0": _grid(first.folder, subset, 0)}
    paths |= {group.label: _grid(group.runs[0].folder, subset, group.runs[0].last) for group in groups}
    draw({label: Image.open(path) for label, path in paths.items()}, words["prompts"], words["columns"], options.out)


def draw(grids: Mapping[str, Image.Image], prompts: Sequence[str], columns: int, path: Path) -> None:
    """Draw the first row of each grid below the one before it.

    Args:
        grids: The grids by label, all of one size.
        prompts: The prompts of a grid, row by row.
        columns: The number of images in a row of a grid.
        path: The file of the picture.
    """
    first = next(iter(grids.values()))
    width, height = first.width / columns, first.height // math.ceil(len(prompts) / columns)
    figure, axes = plt.subplots(len(grids), 1, figsize=(8, 0.72 * len(grids) + 0.4), layout="constrained")
    for axis, (label, grid) in zip(axes, grids.items(), strict=True):
        axis.imshow(np.asarray(grid.convert("RGB"))[:height], interpolation="nearest")
        axis.set_axis_off()
        axis.text(-10, height / 2, label, ha="right", va="center", fontsize=9)
    for column, prompt in enumerate(prompts[:columns]):
        short = textwrap.fill(prompt.split(",")[0], LETTERS)
        axes[0].text((column + 0.5) * width, -6, short, ha="center", va="bottom", fontsize=7)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _grid(folder: Path, subset: str, generation: int) -> Path:
    return next((folder / "grids" / subset).glob(f"*-g{generation:03d}.png"))


if __name__ == "__main__":
    main()
