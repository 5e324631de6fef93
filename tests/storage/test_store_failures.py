from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import safetensors.torch
import torch
from filelock import FileLock
from safetensors import SafetensorError

from collapse_lab.engine.executor import Alone
from collapse_lab.errors import UserError
from collapse_lab.storage.store import MANIFEST, META, TENSORS, Payload, Store
from tests.stored import KEY, OTHER, drafts, entry, files, opened, payload, put


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return opened(tmp_path / "store")


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def full_for_safetensors(*_: object, **__: object) -> None:
    # On a full disk save_file raises its own error, which is no OSError
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    ("where", "name", "failure"),
    [
        (safetensors.torch, "save_file", full_for_safetensors),
        (os, "fsync", full),
        (Path, "write_text", full),
        (Path, "rename", full),
    ],
)
def test_a_full_disk_loses_nothing_already_committed(
    store: Store, monkeypatch: pytest.MonkeyPatch, where: object, name: str, failure: object
) -> None:
    put(store)
    before = files(entry(store))
    with monkeypatch.context() as patched:
        patched.setattr(where, name, failure)
        with pytest.raises(UserError, match=r"is full\. Nothing that was committed is lost: make room") as refused:
            put(store, OTHER)
    assert str(store.root) in str(refused.value)
    assert drafts(store) == []
    assert not store.has("fit", OTHER)
    assert files(entry(store)) == before
    put(store, OTHER)
    assert store.has("fit", OTHER)


def test_another_error_is_not_called_a_full_disk(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        put(store)
    assert drafts(store) == []


def test_a_stage_that_fails_commits_nothing_and_frees_the_lock(store: Store) -> None:
    def fails() -> Payload:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.obtain("fit", KEY, fails, {})
    assert not store.has("fit", KEY)
    put(store)
    assert store.has("fit", KEY)


def test_the_draft_of_a_dead_process_is_replaced(store: Store) -> None:
    draft = store.root / ".tmp" / f"fit-{KEY}"
    draft.mkdir()
    (draft / "stray").write_text("half a file")
    (draft / TENSORS).write_bytes(b"\0")
    put(store)
    assert drafts(store) == []
    assert {path.name for path in entry(store).iterdir()} == {MANIFEST, META, TENSORS}


@contextmanager
def held(store: Store, key: str) -> Iterator[FileLock]:
    lock = FileLock(store.root / ".locks" / f"fit-{key}")
    with lock:
        yield lock


def test_a_stage_that_another_process_computes_is_waited_for(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    obtained: list[Payload] = []
    computed: list[str] = []

    def never() -> Payload:
        computed.append("twice")
        return payload()

    waiter = threading.Thread(target=lambda: obtained.append(store.obtain("fit", KEY, never, {})))
    with caplog.at_level(logging.WARNING), held(store, KEY):
        waiter.start()
        # Another stage is not held up
        put(store, OTHER)
        while "waiting for another process" not in caplog.text:
            waiter.join(0.01)
        store._commit("fit", KEY, payload(3.0), {})
    waiter.join()
    assert computed == []
    assert obtained[0].meta["value"] == 3.0


def test_forget_removes_a_stage_and_no_other(store: Store) -> None:
    put(store)
    put(store, OTHER)
    read_before = store.read("fit", KEY)
    store.forget("fit", KEY)
    assert not entry(store).exists()
    assert store.has("fit", OTHER)
    assert drafts(store) == []
    # A process that has the entry open keeps it
    assert read_before is not None
    assert torch.equal(read_before.tensors["n"], torch.arange(5))
    store.forget("fit", KEY)
    store.forget("sample", KEY)


def test_two_processes_may_forget_the_same_stage_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store)
    rename = Path.rename

    def late(self: Path, target: Path) -> Path:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "rename", rename)
            Store(store.root, Alone()).forget("fit", KEY)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    store.forget("fit", KEY)
    assert not store.has("fit", KEY)
