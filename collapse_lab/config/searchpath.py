"""Where configuration files lie: the project's own folder, and those of installed plug-ins."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from collapse_lab.config.sources import register_cached
from collapse_lab.errors import UserError

ENTRY_POINTS = "collapse_lab.conf"  # the group in which a package names its folder of yaml files
FROZEN = ".frozen"  # the file in a copy of such a folder that says where the folder lies
_user: list[Path] = []  # folders that the command line names
_frozen: list[Path] = []  # copies that take the place of all folders, in a cell of a sweep
_ROOM = Path(__file__).resolve().parents[1]
CONF = _ROOM / "conf" if (_ROOM / "conf").is_dir() else _ROOM.parent / "conf"  # in a wheel, or in a checkout


class PluginSearchPath(SearchPathPlugin):
    """Append the folders of installed plug-ins to Hydra's search path, behind the project's own."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append one entry for each plug-in."""
        for name, folder in plugin_folders().items():
            search_path.append(provider=name, path=f"file://{folder}")


def register() -> None:
    """Make Hydra ask for the folders of plug-ins and parse a file once; to call it again changes nothing."""
    Plugins.instance().register(PluginSearchPath)
    register_cached()


def folders() -> list[Path]:
    """Return every folder of configuration files: the project's own, those of plug-ins, those that the user names."""
    return [*_frozen] or [CONF, *plugin_folders().values(), *_user]


def add_folders(paths: Iterable[str]) -> None:
    """Take up folders that the user names, so that `folders` returns them; a folder that is missing is left out.

    Copies that a sweep has made when it was launched take the place of all folders.
    """
    given = [path for path in map(Path, paths) if path.is_dir()]
    copies = [path for path in given if (path / FROZEN).exists()]
    if copies:
        _frozen[:] = copies
        return
    own = [*map(Path, plugin_folders().values()), CONF]
    _user.extend(path for path in given if path not in [*own, *_user])


@contextmanager
def further_folder(folder: str | Path | None) -> Iterator[list[str]]:
    """Let `folders` return one folder more inside the block.

    Args:
        folder: the folder; None changes nothing.

    Yields:
        The overrides with which Hydra looks there too.

    Raises:
        UserError: there is no such folder.
    """
    if folder is None:
        yield []
        return
    place = Path(folder).absolute()
    if not place.is_dir():
        raise UserError(f"--config-dir={folder} is no folder; correct it")
    before = [*_user]
    add_folders([str(place)])
    try:
        yield [] if place in (CONF, *plugin_folders().values()) else [f"hydra.searchpath=['file://{place}']"]
    finally:
        _user[:] = before


@cache
def plugin_folders() -> Mapping[str, Path]:
    """Return the folder of yaml files of each installed plug-in, by the name of its entry point.

    A package declares it in its pyproject.toml:

        [project.entry-points."collapse_lab.conf"]
        my_lab = "my_lab.conf"

    Raises:
        UserError: an entry point names no package, or two folders hold a file of the same name.
    """
    found: dict[str, Path] = {}
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        places = _places(entry.value)
        if not places:
            raise UserError(
                f"the plug-in '{entry.name}' names the package '{entry.value}' for its yaml files, and there is no "
                f"such package; correct its entry point in the group {ENTRY_POINTS}, or uninstall it"
            )
        found[entry.name] = Path(places[0])
    _refuse_twins({"collapse_lab": CONF, **found})
    return found


def _places(package: str) -> list[str]:
    """Return the folders of a package, none where there is no such package."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # because the package around it is not there, or the name is no name
        return []
    return list(spec.submodule_search_locations or []) if spec is not None else []


def _refuse_twins(places: Mapping[str, Path]) -> None:
    owners: dict[str, str] = {}
    for owner, folder in places.items():
        for file in sorted(folder.rglob("*.yaml")):
            name = file.relative_to(folder).with_suffix("").as_posix()
            if name in owners:
                raise UserError(
                    f"two plug-ins have the name {name}: {owners[name]} and {owner} ({file}); rename one of the files, "
                    "or uninstall one of the two"
                )
            owners[name] = owner
