"""A yaml file is parsed once in a process, and read as Hydra reads it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hydra._internal.core_plugins import file_config_source, importlib_resources_config_source
from hydra._internal.sources_registry import SourcesRegistry
from hydra.plugins.config_source import ConfigLoadError
from omegaconf import OmegaConf

from collapse_lab.config.searchpath import CONF
from collapse_lab.config.sources import FileConfigSource, ImportlibResourcesConfigSource, keys_of, register_cached


@pytest.mark.parametrize("name", ["config", "experiment/nepotistic", "model/ddpm", "scale/tiny", "features/pixels"])
def test_a_file_is_read_as_hydra_reads_it_each_time(name: str) -> None:
    wanted = file_config_source.FileConfigSource("main", str(CONF)).load_config(name)
    for _ in range(2):
        assert FileConfigSource("main", str(CONF)).load_config(name) == wanted


def test_a_file_of_a_package_is_read_as_hydra_reads_it_each_time() -> None:
    wanted = importlib_resources_config_source.ImportlibResourcesConfigSource("hydra", "pkg://hydra.conf").load_config(
        "hydra/help/default"
    )
    for _ in range(2):
        assert ImportlibResourcesConfigSource("hydra", "pkg://hydra.conf").load_config("hydra/help/default") == wanted


def test_a_copy_that_is_changed_changes_no_other(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("a: {b: 1}\n")
    source = FileConfigSource("main", str(tmp_path))
    OmegaConf.update(source.load_config("one").config, "a.b", 2)
    assert OmegaConf.to_container(source.load_config("one").config) == {"a": {"b": 1}}
    other = FileConfigSource("other", str(tmp_path / ".." / tmp_path.name)).load_config("one.yaml")
    assert (other.provider, other.path) == ("other", f"file://{tmp_path}/../{tmp_path.name}")


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text("a: 1\n")
    source = FileConfigSource("main", str(tmp_path))
    assert OmegaConf.to_container(source.load_config("one").config) == {"a": 1}
    assert keys_of(file) == {"a"}
    file.write_text("b: 2\n")
    os.utime(file, ns=(1, 1))
    assert OmegaConf.to_container(source.load_config("one").config) == {"b": 2}
    assert keys_of(file) == {"b"}


def test_a_file_that_is_missing_is_named() -> None:
    with pytest.raises(ConfigLoadError, match="Config not found"):
        FileConfigSource("main", str(CONF)).load_config("model/gone")


def test_hydra_takes_these_sources_for_its_own_in_a_worker() -> None:
    register_cached()
    registry = SourcesRegistry.instance()
    registry.register(file_config_source.FileConfigSource)  # as the plug-ins of a worker do after its state is set
    registry.register(importlib_resources_config_source.ImportlibResourcesConfigSource)
    assert registry.types["file"] is FileConfigSource
