"""A file that is edited while a sweep waits changes no cell of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from collapse_lab.cli.frozen import freeze
from collapse_lab.config import searchpath
from collapse_lab.config.searchpath import add_folders, folders


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    folder = tmp_path / "conf"
    (folder / "model").mkdir(parents=True)
    (folder / "config.yaml").write_text("defaults: [_self_, {model: small}]\nseed: 0\n")
    (folder / "model" / "small.yaml").write_text("width: 8\n")
    return folder


@pytest.fixture
def loader(conf: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Let Hydra have been started with the folder."""
    made = ConfigLoaderImpl(create_config_search_path(str(conf)))
    monkeypatch.setattr(GlobalHydra.instance(), "hydra", SimpleNamespace(config_loader=made))
    yield made
    searchpath._frozen.clear()


def width(loader: Any) -> int:
    cfg = loader.load_configuration("config", ["seed=1"], RunMode.RUN)
    assert cfg.seed == 1
    return int(cfg.model.width)


def test_an_edit_after_the_launch_changes_no_cell(loader: Any, conf: Path, tmp_path: Path) -> None:
    assert width(loader) == 8
    freeze(tmp_path / "sweep")
    (conf / "model" / "small.yaml").write_text("width: 9\n")
    assert width(loader) == 8
    shutil.rmtree(conf)
    assert width(loader) == 8


def test_a_launch_after_an_edit_has_a_copy_of_its_own_and_the_same_files_have_one(
    loader: Any, conf: Path, tmp_path: Path
) -> None:
    freeze(tmp_path / "sweep")
    (first,) = (tmp_path / "sweep" / "conf").iterdir()
    for path in ("same", "edited"):
        again = ConfigLoaderImpl(create_config_search_path(str(conf)))
        GlobalHydra.instance().hydra = SimpleNamespace(config_loader=again)  # type: ignore[assignment]
        freeze(tmp_path / "sweep")
        if path == "same":
            assert list((tmp_path / "sweep" / "conf").iterdir()) == [first]
            (conf / "model" / "small.yaml").write_text("width: 9\n")
    assert width(again) == 9
    assert width(loader) == 8
    assert len(list((tmp_path / "sweep" / "conf").iterdir())) == 2


def test_a_cell_reads_names_from_the_copy(loader: Any, conf: Path, tmp_path: Path) -> None:
    freeze(tmp_path / "sweep")
    sources = [source.path for source in loader.get_sources() if source.scheme() == "file"]
    add_folders(sources)
    assert folders() == [Path(path) for path in sources]
    assert all((tmp_path / "sweep") in path.parents for path in folders())
