"""Freeze the configuration files of a sweep when it is launched, because Hydra composes each cell when it begins.

A file that is edited while cells wait would otherwise change the later ones and not the earlier ones.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from uuid import uuid4

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra

from collapse_lab.config.searchpath import FROZEN

FOLDER = "conf"  # in the sweep's folder


def freeze(sweep: Path) -> None:
    """Copy the folders of configuration files into the sweep's folder, and let Hydra compose the cells from there.

    The copy has the name of its contents. So a later launch after an edit has a copy of its own, and cells that still
    wait keep theirs.

    Args:
        sweep: the folder of the sweep.

    Raises:
        OSError: a file cannot be read or written.
    """
    hydra = GlobalHydra.instance().hydra
    loader = hydra.config_loader if hydra is not None else None
    if not isinstance(loader, ConfigLoaderImpl):
        return  # because Hydra has not been started, as where a test calls the callback by itself
    elements = loader.get_search_path().get_path()
    found = [(one, Path(one.path.removeprefix("file://"))) for one in elements if _is_folder(one.path)]
    files = {place: sorted(place.rglob("*.yaml")) for _, place in found}
    digest = hashlib.sha256()
    for place, own in files.items():
        for file in own:
            digest.update(f"{place}\0{file.relative_to(place).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    target = sweep / FOLDER / digest.hexdigest()[:10]
    if not target.exists():
        draft = target.with_name(f".{target.name}-{uuid4().hex}")
        for number, (place, own) in enumerate(files.items()):
            _copy(place, own, draft / str(number))
        try:
            draft.rename(target)
        except OSError:
            if not target.is_dir():  # because another launch of the same sweep may have been faster
                raise
            shutil.rmtree(draft)
    copies = {place: (target / str(number)).resolve() for number, place in enumerate(files)}
    for element, place in found:
        element.path = f"file://{copies[place]}"
    loader.repository.initialize_sources(loader.config_search_path)


def _is_folder(path: str | None) -> bool:
    return path is not None and not path.startswith(("pkg://", "structured://")) and bool(path)


def _copy(place: Path, files: list[Path], target: Path) -> None:
    target.mkdir(parents=True)
    (target / FROZEN).write_text(str(place))
    for file in files:
        copy = target / file.relative_to(place)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
