"""Read each yaml file once in a process, however many configurations are composed of it."""

from __future__ import annotations

import pickle
from functools import cache, lru_cache
from pathlib import Path

from hydra._internal.core_plugins import file_config_source, importlib_resources_config_source
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import OmegaConf

State = tuple[int, ...]  # what tells one version of a file from another


class FileConfigSource(file_config_source.FileConfigSource):
    """Read configuration files as Hydra does, but parse a file again only after it has changed.

    A sweep composes one configuration for each cell from the same files, and to parse them is a third of the work. The
    class has the name of Hydra's own, because Hydra tells by it which of two sources of one scheme is the same.
    """

    def load_config(self, config_path: str) -> ConfigResult:
        """Return the content of a file and its header, as a copy that the caller may change.

        Raises:
            ConfigLoadError: There is no such file.
        """
        folder = Path(self.path).resolve()  # because one folder has several names
        name = self._normalize_file_name(config_path)
        try:
            state = _state(folder / name)
        except OSError:  # Hydra has the message for it
            return super().load_config(config_path)
        return _copied(_of_file(folder, name, state), self)


class ImportlibResourcesConfigSource(importlib_resources_config_source.ImportlibResourcesConfigSource):
    """Read the configuration files of a package, which are Hydra's own, once in a process."""

    def load_config(self, config_path: str) -> ConfigResult:
        """Return the content of a file and its header, as a copy that the caller may change.

        Raises:
            ConfigLoadError: There is no such file.
        """
        return _copied(_of_package(self.path, config_path), self)


def register_cached() -> None:
    """Make Hydra read files by the classes above; to call it again changes nothing."""
    Plugins.instance()  # registers the classes of Hydra whose places are taken here
    types = SourcesRegistry.instance().types
    types |= {source.scheme(): source for source in (FileConfigSource, ImportlibResourcesConfigSource)}


def keys_of(file: Path) -> frozenset[str]:
    """Return the keys that stand in the outermost mapping of a yaml file."""
    return _keys(file, _state(file))


def _state(file: Path) -> State:
    status = file.stat()
    return (status.st_ino, status.st_mtime_ns, status.st_size)


def _copied(pickled: bytes, source: ConfigSource) -> ConfigResult:
    result: ConfigResult = pickle.loads(pickled)
    result.path, result.provider = f"{source.scheme()}://{source.path}", source.provider
    return result


# Results are kept pickled, because no other copy of a configuration is as fast


@lru_cache(maxsize=4096)
def _of_file(folder: Path, name: str, state: State) -> bytes:  # noqa: ARG001 - part of the key
    return pickle.dumps(file_config_source.FileConfigSource("", str(folder)).load_config(name))


@cache
def _of_package(package: str, config_path: str) -> bytes:
    source = importlib_resources_config_source.ImportlibResourcesConfigSource("", f"pkg://{package}")
    return pickle.dumps(source.load_config(config_path))


@lru_cache(maxsize=4096)
def _keys(file: Path, state: State) -> frozenset[str]:  # noqa: ARG001 - part of the key
    return frozenset(str(key) for key in OmegaConf.load(file))
