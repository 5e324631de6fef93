"""Handwritten digits that come with scikit-learn, so that nothing has to be downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from collapse_lab.datasets.base import ImageDataset, LabelledImages

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(kw_only=True, eq=False)
class Digits(ImageDataset):
    """Read 1,797 handwritten digits of 8x8 grey pixels, bright strokes on black, as (1, 8, 8) uint8.

    They are the test part of "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, UCI Machine Learning
    Repository, CC BY 4.0), inside scikit-learn (BSD-3-Clause). Their 17 levels 0..16 are scaled to 0..255. The
    arguments are those of `ImageDataset`.
    """

    def contents(self) -> Mapping[str, Any]:
        """Return the number of rows: the file is part of scikit-learn and has never changed."""
        return {"rows": 1797}

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the number words, zero to nine."""
        return WORDS

    @property
    def native_shape(self) -> tuple[int, int, int]:
        """Return (1, 8, 8)."""
        return (1, 8, 8)

    def read(self) -> LabelledImages:
        """Return all 1,797 rows in scikit-learn's order."""
        # Without scikit-learn's own load_digits, because the import of scikit-learn takes ten times as long
        package = find_spec("sklearn")
        assert package is not None
        assert package.submodule_search_locations is not None
        path = Path(package.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
        table = np.loadtxt(path, delimiter=",", dtype=np.int64)  # 64 pixels and the digit in each line
        images = np.round(table[:, :64].reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
        return LabelledImages(images, table[:, 64])
