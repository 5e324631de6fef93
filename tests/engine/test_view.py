from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from collapse_lab.engine.view import Source, View, asked
from collapse_lab.engine.view import given as given_to
from collapse_lab.errors import UserError
from collapse_lab.images import as_float
from collapse_lab.storage.mapped import MappedFile
from collapse_lab.types import Captions, Conditions, Rows, Samples

N = 12
BLOCKS = [
    torch.arange(5 * 6, dtype=torch.uint8).reshape(5, 1, 2, 3),
    torch.arange(100, 100 + 7 * 6, dtype=torch.uint8).reshape(7, 1, 2, 3),
]
WHOLE = torch.cat(BLOCKS)
NUMBERS = st.lists(st.integers(0, N - 1), min_size=1, max_size=30).map(torch.tensor)


def shuffled() -> tuple[View, Tensor]:
    """Return a view of both blocks whose rows lie in each other's midst, and the same rows as a tensor."""
    places = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    parts: list[tuple[Rows, Tensor]] = [(BLOCKS[0], places[:5]), (BLOCKS[1], places[5:])]
    expected = torch.empty_like(WHOLE)
    expected[places] = WHOLE
    return View.joined(parts), expected


@given(NUMBERS, NUMBERS)
def test_a_view_gives_the_rows_that_a_tensor_gives(ids: Tensor, again: Tensor) -> None:
    view, expected = shuffled()
    assert torch.equal(view[ids], expected[ids])
    chosen = again[again < len(ids)]
    assert torch.equal(view.index_select(0, ids)[chosen], expected[ids][chosen])
    alone = View.of(BLOCKS[1]).index_select(0, ids[ids < 7])
    assert torch.equal(alone[:], BLOCKS[1][ids[ids < 7]])


@given(st.integers(0, N), st.integers(0, N), st.integers(1, 3))
def test_a_view_gives_the_slices_that_a_tensor_gives(start: int, stop: int, step: int) -> None:
    view, expected = shuffled()
    for rows, tensor in ((view, expected), (View.of(WHOLE), WHOLE)):
        part = rows[start:stop:step]
        assert torch.equal(part, tensor[start:stop:step])
        assert part.dtype == rows.dtype == torch.uint8
    assert (len(view), tuple(view.shape), view.ndim) == (N, tuple(WHOLE.shape), 4)


def test_rows_of_views_are_joined_like_those_of_tensors() -> None:
    view, expected = shuffled()
    part, odd = view.index_select(0, torch.tensor([3, 1, 8])), torch.tensor([0, 2, 4])
    both = View.joined([(part, odd), (BLOCKS[0][:2], torch.tensor([1, 3]))])
    assert torch.equal(both[:], torch.stack([expected[3], BLOCKS[0][0], expected[1], BLOCKS[0][1], expected[8]]))


def test_bytes_beside_floats_are_given_as_floats() -> None:
    floats = torch.linspace(-1, 1, 12).reshape(2, 1, 2, 3)
    view = View.joined([(BLOCKS[0], torch.arange(5)), (floats, torch.tensor([5, 6]))])
    assert view.dtype == torch.float32
    for rows in (view[:], view[torch.arange(7)], torch.cat([view[:3], view[3:]])):
        assert torch.equal(rows, torch.cat([as_float(BLOCKS[0]), floats]))


def test_rows_are_chosen_along_the_first_axis_alone() -> None:
    with pytest.raises(ValueError, match="along axis 0, not 1"):
        View.of(WHOLE).index_select(1, torch.tensor([0]))


def test_nothing_is_copied_before_rows_are_asked_for() -> None:
    rows = WHOLE.clone()
    view = View.of(rows).index_select(0, torch.tensor([2, 1]))
    rows[2] = 255
    assert torch.equal(view[:1], rows[2:3])
    assert View.of(rows)[:].data_ptr() == rows.data_ptr()
    assert View.of(view) is view


class Gathers:
    gathers: ClassVar[bool] = True


def test_who_does_not_ask_for_views_is_given_tensors() -> None:
    samples: Samples[Rows] = Samples(shuffled()[0], np.arange(N))
    plain = given_to(object(), samples)
    assert isinstance(plain.data, Tensor)
    assert torch.equal(plain.data, shuffled()[1])
    assert plain.labels is samples.labels
    assert given_to(Gathers(), samples) is samples


def test_who_does_not_ask_for_views_is_given_pictures_to_start_from_as_a_tensor() -> None:
    view, whole = shuffled()
    wanted = Conditions(np.arange(N), Captions(), view)
    plain = asked(object(), wanted)
    assert isinstance(plain.context, Tensor)
    assert torch.equal(plain.context, whole)
    assert asked(Gathers(), wanted) is wanted
    nothing = Conditions(np.arange(N), Captions())
    assert asked(object(), nothing) is nothing


def shrink(path: Path) -> None:
    os.truncate(path, 10)


def overwrite(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[0] ^= 1
    path.write_bytes(raw)
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
    ("spoil", "what"), [(shrink, r"shrank from 72 to 10 bytes"), (overwrite, "was written to while this run read it")]
)
def test_a_file_that_changes_under_a_view_is_refused_by_name(
    tmp_path: Path, spoil: Callable[[Path], None], what: str
) -> None:
    path = tmp_path / "rows"
    path.write_bytes(WHOLE.numpy().tobytes())
    rows = torch.from_numpy(np.memmap(path, np.uint8, "c").reshape(WHOLE.shape))
    view = View([Source(rows, MappedFile.of(path))]).index_select(0, torch.tensor([4, 2]))
    assert torch.equal(view[:], WHOLE[[4, 2]])
    spoil(path)
    with pytest.raises(UserError, match=rf"{path} {what}.*What is in the ledger is whole.*give the same command again"):
        view[:]


def test_a_file_that_is_deleted_or_replaced_stays_whole_for_who_has_it_mapped(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(WHOLE.numpy().tobytes())
    rows = torch.from_numpy(np.memmap(path, np.uint8, "c").reshape(WHOLE.shape))
    view = View.of(rows, MappedFile.of(path))
    path.unlink()
    assert torch.equal(view[:], WHOLE)
    path.write_bytes(b"other")
    assert torch.equal(view[:], WHOLE)
