"""Whether a command line is one run or a sweep, told without a composition of the whole configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra._internal.hydra import Hydra

from collapse_lab.config.searchpath import CONF

# Keys of Hydra's own that say which mode it is, or where else files lie that may say it
DECIDING = ("hydra.mode", "hydra.searchpath")


@contextmanager
def composing_once() -> Iterator[None]:
    """Let Hydra compose a configuration once inside the block, where it would compose it twice.

    Hydra composes the whole configuration to read `hydra.mode`, and then composes it again to run it, which takes half
    of the time of a refusal. Our files leave `hydra.mode` to the command line (`-m`), so Hydra is asked only where
    the command line or another folder of files may set it.
    """
    original = Hydra.get_mode

    def get_mode(self: Hydra, config_name: str | None, overrides: list[str]) -> Any:
        return original(self, config_name, overrides) if _may_be_set(self, overrides) else None

    Hydra.get_mode = get_mode  # type: ignore[method-assign]
    try:
        yield
    finally:
        Hydra.get_mode = original  # type: ignore[method-assign]


def _may_be_set(hydra: Hydra, overrides: Sequence[str]) -> bool:
    """Return whether the command line, or a folder of files that is not ours, may set `hydra.mode`."""
    keys = [override.partition("=")[0].lstrip("+~") for override in overrides]
    if any(key.startswith(DECIDING) for key in keys):
        return True
    places = [str(element.path) for element in hydra.config_loader.get_search_path().get_path()]
    files = [place.removeprefix("file://") for place in places if not place.startswith(("pkg://", "structured://"))]
    return files != [str(CONF)]
