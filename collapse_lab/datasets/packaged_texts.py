"""Texts inside the archives of packages."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

from collapse_lab.errors import UserError


def texts_in(archive: Path, folder: str, encoding: str) -> dict[str, str]:
    """File name -> text of every .txt file of a folder of a tar archive, in the order of the names.

    Raises:
        UserError: an archive that cannot be read, or that has no such file.
    """
    found: dict[str, str] = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                path = Path(member.name)
                file = tar.extractfile(member) if path.suffix == ".txt" and path.parent == Path(folder) else None
                if file is not None:
                    found[path.name] = "\n".join(file.read().decode(encoding).splitlines())
    except (tarfile.TarError, OSError, EOFError, UnicodeDecodeError) as error:
        raise UserError(f"{archive} cannot be read ({error}): replace it by a fresh copy") from error
    if not found:
        raise UserError(f"{archive} should hold texts in {folder}, and holds none: replace it by a fresh copy")
    return dict(sorted(found.items()))


def rows_in(path: Path) -> list[Any]:
    """The list that a JSON file is. Raises UserError where it is none."""
    try:
        rows = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error}): replace it by a fresh copy") from error
    if not isinstance(rows, list):
        raise UserError(f"{path} should hold a list, and holds a {type(rows).__name__}: replace it by a fresh copy")
    return rows
