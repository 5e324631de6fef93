"""Oxford Flowers 102, read from its official files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from collapse_lab.datasets.archived import ArchivedDataset, Index, check_complete
from collapse_lab.errors import UserError
from collapse_lab.storage.files import checksum

LABELS = "imagelabels.mat"
SPLITS = "setid.mat"
# The published names in the order of the labels 1 to 102, without the question mark behind "pink-yellow dahlia"
NAMES = (
    *("pink primrose", "hard-leaved pocket orchid", "canterbury bells", "sweet pea", "english marigold", "tiger lily"),
    *("moon orchid", "bird of paradise", "monkshood", "globe thistle", "snapdragon", "colt's foot"),
    *("king protea", "spear thistle", "yellow iris", "globe-flower", "purple coneflower", "peruvian lily"),
    *("balloon flower", "giant white arum lily", "fire lily", "pincushion flower", "fritillary", "red ginger"),
    *("grape hyacinth", "corn poppy", "prince of wales feathers", "stemless gentian", "artichoke", "sweet william"),
    *("carnation", "garden phlox", "love in the mist", "mexican aster", "alpine sea holly", "ruby-lipped cattleya"),
    *("cape flower", "great masterwort", "siam tulip", "lenten rose", "barbeton daisy", "daffodil"),
    *("sword lily", "poinsettia", "bolero deep blue", "wallflower", "marigold", "buttercup"),
    *("oxeye daisy", "common dandelion", "petunia", "wild pansy", "primula", "sunflower"),
    *("pelargonium", "bishop of llandaff", "gaura", "geranium", "orange dahlia", "pink-yellow dahlia"),
    *("cautleya spicata", "japanese anemone", "black-eyed susan", "silverbush", "californian poppy", "osteospermum"),
    *("spring crocus", "bearded iris", "windflower", "tree poppy", "gazania", "azalea"),
    *("water lily", "rose", "thorn apple", "morning glory", "passion flower", "lotus"),
    *("toad lily", "anthurium", "frangipani", "clematis", "hibiscus", "columbine"),
    *("desert-rose", "tree mallow", "magnolia", "cyclamen", "watercress", "canna lily"),
    *("hippeastrum", "bee balm", "ball moss", "foxglove", "bougainvillea", "camellia"),
    *("mallow", "mexican petunia", "bromelia", "blanket flower", "trumpet creeper", "blackberry lily"),
)


@dataclass(kw_only=True, eq=False)
class Flowers102(ArchivedDataset):
    """Read 8,189 photographs of flowers in 102 classes, their central squares as (3, 64, 64) uint8.

    The authors are Nilsback and Zisserman, "Automated Flower Classification over a Large Number of Classes" (2008).
    They name no licence; the photographs belong to their makers. `root` holds `imagelabels.mat`, `setid.mat`, and
    `102flowers.tgz` or the folder `jpg` from inside it. The official test rows are the 6,149 of `tstid`; `trnid` and
    `valid`, 1,020 each, are for training. arXiv:2306.06130 trains on 80 % of all three, which is reference_fraction
    0.2. It shows every picture ten times in an epoch. Our training budget counts optimiser steps over shuffled rows,
    where this makes no difference, so there is no argument for it. The arguments are those of `ArchivedDataset`.
    """

    folder: ClassVar[str] = "jpg"
    archive: ClassVar[str] = "102flowers"

    def contents(self) -> Mapping[str, Any]:
        """Return what identifies the pictures, and the SHA-256 of the two lists."""
        return {**super().contents(), **{name: checksum(self._beside(name)) for name in (LABELS, SPLITS)}}

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the 102 published names."""
        return NAMES

    def index(self) -> Index:
        """Return the lists: picture i is image_0000i.jpg, and its label is the i-th of imagelabels.mat, minus one."""
        labels = self._numbers(LABELS, "labels") - 1
        n = len(labels)
        if n == 0 or labels.min() < 0 or labels.max() >= len(self.classes):
            raise UserError(f"{self._beside(LABELS)} should hold labels from 1 to 102: replace it by the official file")
        names = tuple(f"image_{i:05d}.jpg" for i in range(1, n + 1))
        check_complete(self.tree.path, names, self.pictures(), LABELS)
        splits = [self._numbers(SPLITS, name) for name in ("trnid", "valid", "tstid")]
        if not np.array_equal(np.sort(np.concatenate(splits)), np.arange(1, n + 1)):
            raise UserError(
                f"{self._beside(SPLITS)} should name each of the {n} pictures of {LABELS} once in trnid, valid or "
                "tstid: replace both by the official files"
            )
        return Index(names, labels, np.isin(np.arange(1, n + 1), splits[2]), self.classes)

    def _beside(self, name: str) -> Path:
        path = Path(self.root).expanduser() / name
        if not path.is_file():
            raise UserError(
                f"root={self.root} should hold {name} beside {self.archive}.tgz, and does not: download it from "
                "the data set's page"
            )
        return path

    def _numbers(self, name: str, variable: str) -> np.ndarray:
        from scipy.io import loadmat

        path = self._beside(name)
        try:
            return np.asarray(loadmat(path)[variable]).ravel().astype(np.int64)
        except Exception as error:  # because scipy raises many kinds of errors for a damaged file
            raise UserError(
                f"{path} cannot be read as a MATLAB file that holds {variable} ({type(error).__name__}: {error}): "
                "replace it by the official file"
            ) from error
