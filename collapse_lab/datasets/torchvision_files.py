"""Image data sets that torchvision's own data set classes can read from the user's folder."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from collapse_lab.datasets.base import LabelledImages
from collapse_lab.datasets.packaged import PackagedDataset, spelled
from collapse_lab.errors import UserError


@dataclass(kw_only=True, eq=False)
class TorchvisionDataset(PackagedDataset):
    """Read an image data set from registry packages, from plain files or from files in torchvision's layout.

    Where `root` is a folder that torchvision's class takes as its own `root`, that class reads the files, with
    download=False. Plain files that lie in `root` itself are read in preference. The arguments are those of
    `PackagedDataset`.

    Attributes:
        torchvision_class: name of the class in torchvision.datasets.
        torchvision_folder: folder below `root` where torchvision keeps the files.
    """

    torchvision_class: ClassVar[str]
    torchvision_folder: ClassVar[str]

    @abstractmethod
    def read_published(self) -> LabelledImages:
        """Read all rows from the files of the packages, or from plain files of the user."""

    def read(self) -> LabelledImages:
        """Return the training rows, then the test rows, in the published order."""
        if self.root is None or not self.is_for_torchvision(Path(self.root).expanduser()):
            return self.read_published()
        images, labels = zip(*(self._split_of_torchvision(train=train) for train in (True, False)), strict=True)
        test = np.arange(len(images[0]) + len(images[1])) >= len(images[0])
        return LabelledImages(np.concatenate(images), np.concatenate(labels), test=test)

    def has_torchvision_layout(self, root: Path) -> bool:
        """Return whether `root` has torchvision's folder and no plain file of the packages."""
        plain = any(spelled(root, name) for package in self.packages for name in package.files)
        return (root / self.torchvision_folder).is_dir() and not plain

    def is_for_torchvision(self, root: Path) -> bool:
        """Return whether torchvision's class can read the files that `locate` finds in `root`."""
        return self.has_torchvision_layout(root)

    def _split_of_torchvision(self, *, train: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return images (n, c, h, w) uint8 and labels (n,) int64 of torchvision's training or test rows."""
        from torchvision import datasets  # lazily, because torchvision takes seconds to import

        root = Path(self.root or ".").expanduser()
        try:
            rows = getattr(datasets, self.torchvision_class)(str(root), train=train, download=False)
        except Exception as error:  # because torchvision's readers raise many kinds of errors for a damaged file
            # torchvision's second sentence advises download=True, which is no option here
            reason = str(error).partition(". ")[0] or type(error).__name__
            raise UserError(
                f"torchvision cannot read {root / self.torchvision_folder} ({reason}): replace its files by the "
                "official ones, or set root to null to fetch them"
            ) from error
        images, labels = np.asarray(rows.data), np.asarray(rows.targets, np.int64)
        check_pairs(str(root / self.torchvision_folder), images, labels)
        return images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2), labels


def check_pairs(files: str, images: np.ndarray, labels: np.ndarray) -> None:
    """Check that there is one label for each picture.

    Args:
        files: the files that were read, for the message.
        images: (n, ...).
        labels: (n,).

    Raises:
        UserError: when pictures and labels differ in number.
    """
    if len(images) != len(labels):
        raise UserError(
            f"{files} hold {len(images)} pictures and {len(labels)} labels: they must come from one archive; replace "
            "them"
        )
