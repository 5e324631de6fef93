"""Snapshots: nested states come back bit for bit, and nothing else is taken for one."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
import torch

from collapse_lab.storage.snapshots import UnusableSnapshot, draft_of, read_snapshot, remove_snapshot, write_snapshot

FACTS = {"key": "k", "steps": 3}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "snapshot.safetensors"


def back(path: Path, state: Any) -> Any:
    write_snapshot(path, state, FACTS)
    return read_snapshot(path, FACTS)


def test_a_state_of_plain_values_is_read_back_with_its_types(path: Path) -> None:
    state: dict[Any, Any] = {
        "numbers": [1, -2.5, 1e-320, float("inf"), True, None, "é"],
        7: ("a", (1.0, ()), []),
        "empty": {},
        "dict": {"tensor": "a text under a name that snapshots use themselves", "tuple": [1]},
    }
    read = back(path, state)
    assert read == state
    assert repr(read) == repr(state)  # because 1 == True == 1.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.uint8, torch.int64, torch.bool])
def test_tensors_of_every_type_are_read_back_bit_for_bit(path: Path, dtype: torch.dtype) -> None:
    odd = torch.tensor([float("nan"), -0.0, 1e-45, 3.0])
    if not dtype.is_floating_point:
        odd = torch.tensor([0, 1, 1, 0])
    tensors = [odd.to(dtype), torch.tensor(1).to(dtype), torch.zeros(0, 3, dtype=dtype)]
    for one, other in zip(back(path, tensors), tensors, strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.flatten().view(torch.uint8).equal(other.flatten().view(torch.uint8))


def test_numbers_lie_in_memory_as_they_lay(path: Path) -> None:
    last = torch.arange(120.0).reshape(2, 3, 4, 5).to(memory_format=torch.channels_last)
    for tensor in (last, torch.arange(6.0).reshape(2, 3).T):
        read = back(path, [tensor])[0]
        assert read.equal(tensor)
        assert read.stride() == tensor.stride()


def test_weights_that_are_shared_are_stored_once(path: Path) -> None:
    weights = torch.arange(1000.0)
    write_snapshot(path, [weights, weights.view(1000)], FACTS)
    alone = path.stat().st_size
    read = back(path, {"whole": weights, "view": weights.view(10, 100), "row": weights[5:]})
    assert alone < 6000
    assert read["whole"].equal(weights)
    assert read["view"].equal(weights.view(10, 100))
    assert read["row"].equal(weights[5:])


def test_what_was_read_may_be_changed_in_place(path: Path) -> None:
    read = back(path, [torch.zeros(3)])[0]
    read += 1
    assert read.equal(torch.ones(3))
    assert read_snapshot(path, FACTS)[0].equal(torch.zeros(3))


def test_a_snapshot_of_something_else_is_refused(path: Path) -> None:
    write_snapshot(path, [1], FACTS)
    with pytest.raises(UnusableSnapshot, match="its steps is 3, and 4 is wanted"):
        read_snapshot(path, {**FACTS, "steps": 4})
    with pytest.raises(UnusableSnapshot, match="its torch is None, and 2 is wanted"):
        read_snapshot(path, {**FACTS, "torch": "2"})


def test_there_is_nothing_to_read_where_there_is_no_file(path: Path) -> None:
    assert read_snapshot(path, FACTS) is None


def test_every_flipped_byte_is_noticed(path: Path) -> None:
    write_snapshot(path, {"w": torch.arange(4.0), "step": 3}, FACTS)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            read = read_snapshot(path, FACTS)
        except UnusableSnapshot:
            continue
        # A flipped space, or one in the name of a key that nobody reads, changes no value
        assert read["w"].equal(torch.arange(4.0))
        assert read["step"] == 3


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), "the state is of object"),
        ({1.5: 1}, "the state has keys that are neither"),
        ({"deep": [{"er": torch.float32}]}, "/deep/0/er is of dtype"),
    ],
    ids=["object", "key", "deep"],
)
def test_a_value_that_cannot_be_held_is_named_and_leaves_no_file(path: Path, value: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        write_snapshot(path, value, FACTS)
    assert not path.exists()


def test_a_file_has_the_mode_of_other_files_and_goes_with_its_draft(path: Path) -> None:
    write_snapshot(path, [1], FACTS)
    draft_of(path).touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(draft_of(path).stat().st_mode)
    remove_snapshot(path)
    remove_snapshot(path)
    assert list(path.parent.iterdir()) == []
