from __future__ import annotations

import errno
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from collapse_lab.config.binding import bind
from collapse_lab.config.building import EXECUTOR
from collapse_lab.engine.executor import Alone
from collapse_lab.errors import UserError
from collapse_lab.storage.files import make_folder
from collapse_lab.storage.snapshots import write_snapshot
from collapse_lab.storage.store import MANIFEST, META, TENSORS, Payload, Store
from tests.stored import KEY, OTHER, drafts, entry, opened, put


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return opened(tmp_path / "store")


def test_tensors_and_meta_are_read_back_bit_for_bit(store: Store) -> None:
    odd = torch.tensor([float("nan"), -0.0, 1e-45, float("inf")])
    view = torch.arange(12.0).reshape(3, 4).T
    given = Payload({"odd": odd, "view": view, "half": odd.half(), "none": torch.zeros(0, 3)}, {"k": [1, None]})
    store.obtain("fit", KEY, lambda: given, {})
    read = Store(store.root, Alone()).read("fit", KEY)
    assert read is not None
    assert read.meta == given.meta
    assert read.tensors.keys() == given.tensors.keys()
    for name, tensor in given.tensors.items():
        assert read.tensors[name].dtype == tensor.dtype
        assert read.tensors[name].numpy().tobytes() == tensor.contiguous().numpy().tobytes()


def test_the_manifest_of_an_entry_holds_its_kind_key_fields_parents_and_files(store: Store) -> None:
    put(store, fields={"lr": 0.1}, parents=["x"])
    assert {path.name for path in entry(store).iterdir()} == {MANIFEST, META, TENSORS}
    manifest = json.loads((entry(store) / MANIFEST).read_text())
    assert manifest["kind"] == "fit"
    assert manifest["key"] == KEY
    assert manifest["fields"] == {"lr": 0.1}
    assert manifest["parents"] == ["x"]
    assert manifest["files"].keys() == {META, TENSORS}
    assert manifest["files"][TENSORS]["bytes"] == (entry(store) / TENSORS).stat().st_size
    assert drafts(store) == []


def test_an_entry_is_found_under_its_own_kind_and_key_alone(store: Store) -> None:
    put(store)
    assert not store.has("sample", KEY)
    assert store.read("fit", OTHER) is None
    assert store.read("sample", KEY) is None


def test_an_entry_appears_whole_or_not_at_all(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename
    seen: list[set[str]] = []

    def watched(self: Path, target: Path) -> Path:
        assert not store.has("fit", KEY)
        seen.append({path.name for path in self.iterdir()})
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", watched)
    put(store)
    assert seen == [{MANIFEST, META, TENSORS}]
    assert store.has("fit", KEY)


@pytest.mark.parametrize("name", [TENSORS, META])
def test_an_entry_with_a_flipped_bit_is_set_aside_with_a_warning_and_computed_again(
    store: Store, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    put(store)
    put(store, OTHER)
    broken = bytearray((entry(store) / name).read_bytes())
    broken[-1] ^= 1
    (entry(store) / name).write_bytes(broken)
    with caplog.at_level(logging.WARNING):
        again = put(store, value=2.0)
    assert again.meta["value"] == 2.0
    assert f"{name} has SHA-256" in caplog.text
    aside = list((store.root / ".aside").iterdir())
    assert len(aside) == 1
    assert str(aside[0]) in caplog.text
    assert (aside[0] / name).read_bytes() == broken
    mended = store.read("fit", KEY)
    assert mended is not None
    assert mended.meta["value"] == 2.0
    assert store.has("fit", OTHER)


@pytest.mark.parametrize("name", [TENSORS, META, MANIFEST])
def test_an_entry_with_a_missing_file_is_set_aside_with_a_warning(
    store: Store, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    put(store)
    (entry(store) / name).unlink()
    assert put(store, value=2.0).meta["value"] == 2.0
    assert f"{name} is missing" in caplog.text
    assert store.has("fit", KEY)


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[]", "{}", '{"files": [1]}', '{"files": {"meta.json": 1}}', "\udcff"]
)
def test_an_entry_with_a_useless_manifest_is_set_aside(
    store: Store, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    put(store)
    (entry(store) / MANIFEST).write_bytes(text.encode(errors="surrogateescape"))
    assert put(store, value=2.0).meta["value"] == 2.0
    assert "set aside" in caplog.text


@pytest.mark.parametrize(
    ("keep", "every", "committed"),
    [
        ("all", 1, [0, 1, 2, 3, 4]),
        ("last", 3, [0, 1, 2, 3, 4]),
        ("metrics", 1, [0, 1, 2, 3, 4]),
        ("metrics", 3, [0, 3]),
    ],
)
def test_which_generations_are_committed(tmp_path: Path, keep: Any, every: int, committed: list[int]) -> None:
    store = Store(tmp_path, Alone(), keep, every)
    assert [g for g in range(5) if store.commits(g)] == committed


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"keep": "none"}, r"store\.keep is one of all, last, metrics; got 'none'"),
        ({"every": 0}, r"store\.every is 1 or more; got 0"),
        ({"every": 1.5}, r"store\.every takes int; got 1\.5"),
    ],
)
def test_wrong_arguments_are_refused(argument: dict[str, Any], message: str) -> None:
    node = {"_target_": f"{Store.__module__}.Store", "root": "store", **argument}
    with pytest.raises(UserError, match=message):
        bind(node, "store", EXECUTOR)


def test_a_folder_that_cannot_be_written_to_names_its_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write to .*paths\.store="):
        Store(tmp_path / "file" / "store", Alone()).open()

    # Because tests in a container often run as root, whom permissions do not stop, fail by a patch
    def refused(self: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "touch", refused)
    with pytest.raises(UserError, match=r"\(Permission denied\); give another folder with paths\.runs="):
        make_folder(tmp_path / "runs", "paths.runs")


def test_a_folder_is_made_though_another_thread_deletes_the_probe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch = Path.touch

    def deleted_at_once(self: Path) -> None:
        touch(self)
        self.unlink()

    monkeypatch.setattr(Path, "touch", deleted_at_once)
    assert list(make_folder(tmp_path / "runs", "paths.runs").iterdir()) == []


def test_opening_a_store_leaves_no_file(store: Store) -> None:
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


def checkpointed(store: Store, key: str = KEY) -> Path:
    path = store.checkpoint("fit", key)
    write_snapshot(path, [1], {})
    return path


def test_a_checkpoint_is_no_stage_and_goes_when_its_stage_is_committed(store: Store) -> None:
    path, other = checkpointed(store), checkpointed(store, OTHER)
    assert not store.has("fit", KEY)
    assert store.read("fit", KEY) is None
    put(store)
    assert not path.exists()
    assert other.exists()


def test_a_checkpoint_stays_where_its_stage_fails(store: Store) -> None:
    path = checkpointed(store)

    def fail() -> Payload:
        raise KeyboardInterrupt

    for attempt in (store.compute, lambda kind, key, produce: store.obtain(kind, key, produce, {})):
        with pytest.raises(KeyboardInterrupt):
            attempt("fit", KEY, fail)
    assert path.exists()


def test_a_checkpoint_goes_with_a_stage_that_is_not_committed(store: Store) -> None:
    path = checkpointed(store)
    assert store.compute("fit", KEY, Payload).tensors == {}
    assert not path.exists()


def test_a_store_that_is_opened_removes_checkpoints_of_committed_stages(store: Store) -> None:
    put(store)  # by a process that was killed before it removed the checkpoint
    path, other = checkpointed(store), checkpointed(store, OTHER)
    store.open()
    assert not path.exists()
    assert other.exists()
