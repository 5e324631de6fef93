"""What stopped processes leave in a store is found once it is old, and never what a process may be working on."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from filelock import FileLock

from collapse_lab.storage.leftovers import DAY, Leftover, leftovers
from collapse_lab.storage.snapshots import draft_of, write_snapshot
from collapse_lab.storage.store import Store
from tests.stored import KEY, OTHER, opened, put


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return opened(tmp_path / "store")


def aged(path: Path, seconds: float) -> Path:
    """Let a file or a folder, with the files in it, have been changed so many seconds ago."""
    for file in (*path.glob("*"), path):
        os.utime(file, (time.time() - seconds, time.time() - seconds))
    return path


def checkpointed(store: Store, key: str, seconds: float) -> Path:
    path = store.checkpoint("fit", key)
    write_snapshot(path, [1], {})
    return aged(path, seconds)


def drafted(store: Store, name: str, seconds: float) -> Path:
    folder = store.root / ".tmp" / name
    folder.mkdir()
    (folder / "meta.json").write_bytes(bytes(100))
    return aged(folder, seconds)


def test_checkpoints_and_drafts_are_left_after_a_day(store: Store) -> None:
    assert leftovers(store.root) == []
    old, draft = checkpointed(store, KEY, DAY + 60), drafted(store, f"fit-{OTHER}-0123abcd", DAY + 60)
    checkpointed(store, OTHER, DAY - 60)
    drafted(store, f"fit-{KEY}-0123abcd", DAY - 60)
    part = draft_of(old)
    part.write_bytes(bytes(7))
    aged(part, DAY + 60)
    grave = drafted(store, f"forgotten-fit-{KEY}-1-2", DAY + 60)
    found = {one.path: one for one in leftovers(store.root)}
    assert found.keys() == {old, draft, part, grave}
    assert found[old] == Leftover(old, old.stat().st_size, True)
    assert found[part] == Leftover(part, 7, False)
    assert found[draft] == Leftover(draft, 100 + draft.stat().st_size, False)
    assert not found[grave].is_checkpoint


def test_what_a_process_works_on_is_not_left_however_old_it_is(store: Store) -> None:
    old, draft = checkpointed(store, KEY, 2 * DAY), drafted(store, f"fit-{KEY}-0123abcd", 2 * DAY)
    with FileLock(store.root / ".locks" / f"fit-{KEY}"):
        assert leftovers(store.root) == []
    assert {one.path for one in leftovers(store.root)} == {old, draft}


def test_a_folder_that_is_no_store_and_stages_of_a_store_are_nothing_left(store: Store, tmp_path: Path) -> None:
    put(store)
    for file in store.root.rglob("*"):
        aged(file, 2 * DAY)
    assert leftovers(store.root) == []
    assert leftovers(tmp_path / "nowhere") == []
