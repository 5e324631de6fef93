from __future__ import annotations

import os
from pathlib import Path

import pytest
from hydra._internal.core_plugins.file_config_source import FileConfigSource as Original
from hydra.plugins.config_source import ConfigLoadError
from omegaconf import OmegaConf, open_dict

from collapse_lab.config import parsed
from collapse_lab.config.searchpath import CONF

SOURCES = (parsed.FileConfigSource, Original)


@pytest.mark.parametrize("name", ["config", "experiment/nepotistic", "model/text2image", "scale/tiny"])
def test_a_file_is_what_hydra_itself_loads(name: str) -> None:
    mine, theirs = (
        source("main", f"file://{CONF}").load_config(name) for source in (parsed.FileConfigSource, Original)
    )
    assert mine == theirs


def test_a_change_of_what_was_loaded_is_not_seen_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("a: {b: 1}\n")
    source = parsed.FileConfigSource("main", str(tmp_path))
    loaded = source.load_config("one").config
    with open_dict(loaded):
        OmegaConf.update(loaded, "a.b", 2)
    assert OmegaConf.to_container(source.load_config("one").config) == {"a": {"b": 1}}


def test_a_file_is_parsed_once_until_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text("a: 1\n")
    source, before = parsed.FileConfigSource("main", str(tmp_path)), parsed._parsed.cache_info()
    assert [OmegaConf.select(source.load_config("one").config, "a") for _ in range(3)] == [1, 1, 1]
    after = parsed._parsed.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 2)
    os.utime(file, ns=(0, 0))
    file.write_text("a: 2\n")
    assert OmegaConf.select(source.load_config("one").config, "a") == 2


def test_a_file_that_is_missing_is_refused_as_by_hydra(tmp_path: Path) -> None:
    with pytest.raises(ConfigLoadError, match="Config not found"):
        parsed.FileConfigSource("main", str(tmp_path)).load_config("absent")
