from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from collapse_lab.engine.executor import Alone
from collapse_lab.engine.payloads import rows_of
from collapse_lab.errors import UserError
from collapse_lab.storage import mapped
from collapse_lab.storage.files import checksum
from collapse_lab.storage.mapped import checksum_once, reserve, scratch
from collapse_lab.storage.store import LARGE, TENSORS, Payload, Store
from tests.stored import KEY, drafts, entry, opened

ROWS = LARGE // 1024 + 1  # of 1024 bytes


def sampled() -> Payload:
    data = torch.arange(ROWS * 1024, dtype=torch.int64).to(torch.uint8).reshape(ROWS, 1024)
    return Payload({"data": data, "labels": torch.arange(ROWS)}, {"captions": []})


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the files whose checksum is computed."""
    calls: list[Path] = []

    def counted(path: Path) -> str:
        calls.append(path)
        return checksum(path)

    monkeypatch.setattr(mapped, "checksum", counted)
    return calls


def test_the_checksum_of_a_file_is_computed_once_until_it_changes(tmp_path: Path, calls: list[Path]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"rows")
    os.utime(path, ns=(10**18, 10**18))
    assert checksum_once(path) == checksum_once(path) == checksum(path)
    assert calls == [path]
    path.write_bytes(b"swor")
    os.utime(path, ns=(10**18 + 1, 10**18 + 1))
    assert checksum_once(path) == checksum(path)
    assert calls == [path, path]


def test_a_file_that_was_just_written_is_read_each_time(tmp_path: Path, calls: list[Path]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"rows")
    first = checksum_once(path)
    path.write_bytes(b"swor")  # of the same size, and maybe within one tick of the file system's clock
    assert checksum_once(path) != first
    assert len(calls) == 2


def test_room_in_a_file_is_zeros_and_leaves_no_name(tmp_path: Path) -> None:
    room = scratch(tmp_path, 5000)
    assert room[:] == bytes(5000)
    assert list(tmp_path.iterdir()) == []


def test_reserving_gives_a_file_its_size(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+b") as file:
        reserve(file.fileno(), 70_000)
    assert (tmp_path / "file").stat().st_size == 70_000
    assert (tmp_path / "file").stat().st_blocks * 512 >= 70_000


def test_large_tensors_of_a_stage_lie_in_its_file_after_they_are_written(tmp_path: Path) -> None:
    store, made = opened(tmp_path), sampled()
    kept = store.obtain("sample", KEY, lambda: made, {})
    assert kept.file is not None
    path = tmp_path / "sample" / KEY[:2] / KEY / TENSORS
    assert kept.file.path == path
    for name, tensor in made.tensors.items():
        assert torch.equal(kept.tensors[name], tensor)
    before = path.read_bytes()
    kept.tensors["data"][:] = 0  # a mapped file is never written to
    assert path.read_bytes() == before
    assert checksum(path) in (path.parent / "manifest.json").read_text()


def test_small_tensors_of_a_stage_stay_in_memory(tmp_path: Path) -> None:
    made = Payload({"data": torch.zeros(3)})
    kept = opened(tmp_path).obtain("sample", KEY, lambda: made, {})
    assert kept.file is None
    assert kept.tensors is made.tensors


def test_samples_that_shrink_under_a_run_are_refused_and_made_anew_by_the_next(tmp_path: Path) -> None:
    store = opened(tmp_path)
    rows = rows_of(store.obtain("sample", KEY, sampled, {}))
    path = tmp_path / "sample" / KEY[:2] / KEY / TENSORS
    os.truncate(path, 5000)
    with pytest.raises(UserError, match=rf"{path} shrank from \d+ to 5000 bytes"):
        rows.data[torch.tensor([ROWS - 1])]
    mended = rows_of(Store(tmp_path, Alone()).obtain("sample", KEY, sampled, {}))
    assert torch.equal(mended.data[:], sampled().tensors["data"])


def test_many_samples_are_given_room_on_the_disk_and_few_in_memory(tmp_path: Path) -> None:
    store = opened(tmp_path)
    few, many = store.allocate((4, 3), dtype=torch.float32), store.allocate((ROWS, 256), dtype=torch.float32)
    assert (few.shape, few.dtype) == ((4, 3), torch.float32)
    assert (many.shape, many.dtype) == ((ROWS, 256), torch.float32)
    maps = Path("/proc/self/maps").read_text().splitlines()

    def backed(tensor: torch.Tensor) -> bool:
        (line,) = (
            m for m in maps if int(m.split("-")[0], 16) <= tensor.data_ptr() < int(m.split()[0].split("-")[1], 16)
        )
        return str(tmp_path) in line

    assert (backed(few), backed(many)) == (False, True)
    many[:] = 1.5
    assert bool((many == 1.5).all())
    assert drafts(store) == []


def test_a_full_disk_is_explained_before_samples_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int, start: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=f"the disk of {tmp_path} is full"):
        opened(tmp_path).allocate((ROWS, 1024), dtype=torch.uint8)
    assert not entry(opened(tmp_path)).exists()
