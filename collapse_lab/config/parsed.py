"""Parse each file of configuration once, where Hydra parses it for every cell of a sweep."""

from __future__ import annotations

import copy
from functools import lru_cache
from pathlib import Path

from hydra._internal.core_plugins import file_config_source
from hydra._internal.sources_registry import SourcesRegistry
from hydra.plugins.config_source import ConfigResult


class FileConfigSource(file_config_source.FileConfigSource):
    """Load files as Hydra's source of the same name does, and parse one again only after it has changed.

    To parse the files takes a third of the time of a composition. The class has the name of Hydra's own, because Hydra
    tells by it which of two sources of one scheme is the same.
    """

    def load_config(self, config_path: str) -> ConfigResult:
        """Return a file that is parsed, for the caller to change.

        Raises:
            ConfigLoadError: there is no such file.
        """
        name = self._normalize_file_name(config_path)
        try:
            stat = (Path(self.path) / name).stat()
        except OSError:
            return super().load_config(config_path)  # which says what is wrong
        version = stat.st_mtime_ns, stat.st_size, stat.st_ino
        return copy.deepcopy(_parsed(self.provider, self.path, name, version))


@lru_cache(maxsize=1024)
def _parsed(provider: str, folder: str, name: str, _version: tuple[int, int, int]) -> ConfigResult:
    """Return a file as Hydra's own source parses it; its version is part of what the cache is asked for."""
    return file_config_source.FileConfigSource(provider, f"file://{folder}").load_config(name)


def register() -> None:
    """Let Hydra load files through this source; to call it again changes nothing."""
    SourcesRegistry.instance().types[FileConfigSource.scheme()] = FileConfigSource
