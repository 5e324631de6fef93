"""Data sets whose files come from registry packages, or from a folder of the user that holds the same files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from collapse_lab.datasets.base import ImageDataset
from collapse_lab.errors import UserError
from collapse_lab.storage.fetch import Package, need_of, obtain
from collapse_lab.storage.files import checksum
from collapse_lab.types import Need


@dataclass(kw_only=True, eq=False)
class PackageFiles:
    """Find the files of a data set in a folder of the user, or fetch them from registry packages.

    Args:
        root: folder that already holds the files, with or without `.gz`. The files may differ from those of the
            packages, so their checksums are not compared with the packages' ones; the key of the data set tells which
            files were read. None fetches the packages.
        cache: folder where fetched packages are kept.
    """

    root: str | None = None
    cache: str = "~/.cache/collapse_lab"

    packages: ClassVar[tuple[Package, ...]] = ()

    def contents(self) -> Mapping[str, Any]:
        """Return the SHA-256 of every file: as published, or of the files below `root`."""
        if self.root is not None:
            return {name: checksum(path) for name, path in self._user_files.items()}
        return {name: digest for package in self.packages for name, digest in package.files.items()}

    @cached_property
    def files(self) -> dict[str, Path]:
        """Return published file name -> path; the packages are fetched if they are not in the cache."""
        if self.root is not None:
            return self._user_files
        return {name: path for package in self.packages for name, path in obtain(package, self.cache).items()}

    def prefetch(self) -> list[Need]:
        """Return the packages, or the user's files; and what the data set takes from elsewhere beside them."""
        others: Callable[[], list[Need]] = getattr(super(), "prefetch", list)
        if self.root is not None:
            return [Need(f"files in {self.root}", True, self.contents), *others()]
        return [*(need_of(package, self.cache) for package in self.packages), *others()]

    def locate(self, root: Path) -> dict[str, Path]:
        """Return published file name -> path in the user's folder; a subclass may know several layouts.

        Raises:
            UserError: when a file is missing.
        """
        return self.find(root, [name for package in self.packages for name in package.files])

    def find(self, folder: Path, names: Sequence[str]) -> dict[str, Path]:
        """Return name -> path of files in a folder, each with or without `.gz`.

        Raises:
            UserError: when a file is missing.
        """
        paths: dict[str, Path] = {}
        for name in names:
            path = spelled(folder, name)
            if path is None:
                raise UserError(
                    f"{folder} should hold {name} for {type(self).__name__}, and it does not: set root to the "
                    "folder with the files, or set root to null to fetch them"
                )
            paths[name] = path
        return paths

    @cached_property
    def _user_files(self) -> dict[str, Path]:
        return self.locate(Path(self.root or ".").expanduser())


@dataclass(kw_only=True, eq=False)
class PackagedDataset(PackageFiles, ImageDataset):
    """Read an image data set whose files come from registry packages.

    The arguments are those of `PackageFiles` and `ImageDataset`.
    """


def spelled(folder: Path, name: str) -> Path | None:
    """Return the path of a file in a folder under its name, with `.gz` or without `.gz`; None where there is none."""
    spellings = [folder / spelling for spelling in (name, f"{name}.gz", name.removesuffix(".gz"))]
    return next((path for path in spellings if path.is_file()), None)
