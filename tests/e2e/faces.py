"""What +experiment=nepotistic_faces needs at the smallest size: a folder of pictures of groups, and a tiny pipeline."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tests.models.tiny_pipelines import Kind, write_pipeline

GROUPS = ("old man", "young woman")
PROMPTS = ("a photo of a {}",)


def write_faces(folder: Path, each: Sequence[int], prompts: Sequence[Sequence[str]] = (PROMPTS, PROMPTS)) -> Path:
    """Write pictures of each group with their table, and return the folder.

    Args:
        folder: where they are written.
        each: how many pictures of each group.
        prompts: the prompts of each group, which take turns among its pictures; {} stands for the group.
    """
    folder.mkdir()
    rng = np.random.default_rng(0)
    with (folder / "metadata.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "text", "group"])
        for number in range(max(each)):
            for level, group in enumerate(GROUPS):
                if number >= each[level]:
                    continue
                name = f"{level}-{number}.png"
                Image.fromarray(rng.integers(100 * level, 100 * level + 156, (8, 8, 3), np.uint8)).save(folder / name)
                table.writerow([name, prompts[level][number % len(prompts[level])].format(group), group])
    return folder


def needed(folder: Path, each: int = 20, kind: Kind = "2.x") -> list[str]:
    """Write what the preset needs into a folder, and return the overrides that name it."""
    faces, pipeline = write_faces(folder / "faces", [each] * len(GROUPS)), write_pipeline(folder / "sd", kind)
    return [f"dataset.root={faces}", f"model.pretrained={pipeline}", "dataset.image_size=8"]
