"""Fashion-MNIST, the data set of pictures of clothes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from collapse_lab.datasets.mnist import MNIST
from collapse_lab.storage.fetch import Package

SHA256 = {
    "train-images-idx3": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    "train-labels-idx1": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    "t10k-images-idx3": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    "t10k-labels-idx1": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
}


@dataclass(kw_only=True, eq=False)
class FashionMNIST(MNIST):
    """Read 70,000 pictures of clothes of 28x28 grey pixels, bright on black, as (1, 28, 28) uint8.

    The authors are Xiao, Rasul and Vollgraf (Zalando); the licence is MIT. The last 10,000 rows are the official test
    rows. The Debian package dataset-fashion-mnist holds the files, gzipped; their names and their layout are MNIST's.
    The same four files, plain or gzipped, may also lie in `root` itself or in `root`/FashionMNIST/raw. torchvision
    reads the uncompressed files of `root`/FashionMNIST/raw. The arguments are those of `PackagedDataset`.
    """

    torchvision_class: ClassVar[str] = "FashionMNIST"
    torchvision_folder: ClassVar[str] = "FashionMNIST/raw"

    packages: ClassVar[tuple[Package, ...]] = (
        Package(
            "apt",
            "dataset-fashion-mnist",
            "",
            "usr/share/datasets/fashion-mnist",
            {f"{name}-ubyte.gz": digest for name, digest in SHA256.items()},
        ),
    )

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the kinds of clothes, in the published order of labels."""
        return (
            *("t-shirt", "trousers", "pullover", "dress", "coat"),
            *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
        )
