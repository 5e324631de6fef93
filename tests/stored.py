"""Make a store that a test may break, and look into it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from collapse_lab.engine.executor import Alone
from collapse_lab.storage.store import Payload, Store

KEY, OTHER = "ab" * 16, "cd" * 16


def opened(folder: Path) -> Store:
    store = Store(folder, Alone())
    store.open()
    return store


def payload(value: float = 1.0) -> Payload:
    return Payload({"w": torch.full((4, 3), value), "n": torch.arange(5)}, {"words": ["a", "é"], "value": value})


def put(store: Store, key: str = KEY, value: float = 1.0, **describe: Any) -> Payload:
    return store.obtain("fit", key, lambda: payload(value), describe)


def entry(store: Store, key: str = KEY) -> Path:
    return store.root / "fit" / key[:2] / key


def files(folder: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def drafts(store: Store) -> list[str]:
    return sorted(path.name for path in (store.root / ".tmp").iterdir())
