from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from collapse_lab.engine.pool import Block, Pool, PromptNumbers
from collapse_lab.types import Captions, Samples

SIZES = [5, 3, 0, 4]


def block(number: int, size: int, **changes: object) -> Block:
    """Rows whose data, label and caption all say (block, row)."""
    labels = np.arange(size) + 10 * number
    data = torch.tensor(labels, dtype=torch.uint8).reshape(size, 1, 1, 1).expand(size, 1, 2, 2).clone()
    samples = Samples(data, labels, Captions.of([f"row {label}" for label in labels]))
    plain = {"key": f"{number:032x}", "source": min(number, 2), "born": max(0, number - 1), "labels": labels}
    return Block(**({**plain, "load": lambda: samples} | changes))  # type: ignore[arg-type]


def pool_of(sizes: Sequence[int] = SIZES) -> Pool:
    pool = Pool()
    for number, size in enumerate(sizes):
        pool.append(block(number, size))
    return pool


@given(st.lists(st.integers(0, 11), min_size=1, max_size=30))
def test_a_view_is_the_rows_in_the_order_asked_for(ids: list[int]) -> None:
    samples = pool_of().view(np.array(ids)).gathered()
    expected = [[0, 1, 2, 3, 4, 10, 11, 12, 30, 31, 32, 33][i] for i in ids]
    assert samples.labels.tolist() == expected
    assert samples.data[:, 0, 1, 1].tolist() == expected
    assert samples.captions.texts() == [f"row {label}" for label in expected]


def test_nothing_is_loaded_until_rows_are_viewed_and_then_their_blocks_alone() -> None:
    loaded: list[int] = []

    def load(number: int) -> Samples:
        loaded.append(number)
        return block(number, 3).load().gathered()

    pool = Pool()
    for number in range(3):
        pool.append(block(number, 3, load=lambda number=number: load(number)))
    ids = pool.provenance().ids
    pool.digest(ids)
    pool.counts(ids)
    assert loaded == []
    pool.view(np.array([7, 8, 1, 7]))
    assert sorted(loaded) == [0, 2]


def test_provenance_says_where_each_row_comes_from() -> None:
    pool = Pool()
    pool.append(block(0, 3, eligible=np.array([True, False, True])))
    pool.append(block(1, 2))
    pool.append(block(2, 2, source=2, born=1, prompts=np.array([5, 4])))
    everything = pool.provenance()
    assert len(pool) == len(everything) == 7
    assert everything.ids.tolist() == list(range(7))
    assert everything.source.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert everything.born.tolist() == [0, 0, 0, 0, 0, 1, 1]
    assert everything.labels.tolist() == [0, 1, 2, 10, 11, 20, 21]
    assert everything.eligible.tolist() == [True, False, True, True, True, True, True]
    assert everything.prompts.tolist() == [0, 1, 2, 10, 11, 5, 4]
    assert everything.real.ids.tolist() == [0, 1, 2]
    assert everything.synthetic.ids.tolist() == [3, 4, 5, 6]


def test_rows_of_one_label_and_one_caption_have_one_prompt_whichever_block_they_are_of() -> None:
    numbers = PromptNumbers()
    first = numbers.of(np.array([1, 0, 1, 1, -1]), Captions.of(["b", "b", "a", "b", "b"]))
    again = numbers.of(np.array([1, 1, 0, -1]), Captions.of(["a", "b", "c", "b"]))
    prompts = [*zip([1, 0, 1, 1, -1], "bbabb", strict=True), *zip([1, 1, 0, -1], "abcb", strict=True)]
    for one, number in zip(prompts, [*first, *again], strict=True):
        same = [one == other for other in prompts]
        assert [number == other for other in [*first, *again]] == same
    assert len(set(first) | set(again)) == 5
    plain = PromptNumbers().of(np.array([3, 2, 3, -1]), Captions())
    assert plain[0] == plain[2]
    assert len(set(plain)) == 3
    assert len(numbers.of(np.zeros(0, np.int64), Captions())) == 0


def test_a_horizon_hides_old_synthetic_rows_and_no_real_ones() -> None:
    pool = pool_of([2, 2, 2, 2])  # real, then born in generations 0, 1, 2
    assert pool.provenance(since=1).ids.tolist() == [0, 1, 4, 5, 6, 7]
    assert pool.provenance(since=9).ids.tolist() == [0, 1]


def test_row_numbers_never_change() -> None:
    pool = pool_of([3, 2])
    before = pool.view(np.arange(5)).labels
    pool.append(block(3, 4))
    assert (pool.view(np.arange(5)).labels == before).all()


def test_counts_and_keys() -> None:
    pool = pool_of()
    assert pool.counts(np.array([0, 4, 5, 11])) == {"real": 2, "synthetic": 2}
    assert pool.counts(np.zeros(0, np.int64)) == {"real": 0, "synthetic": 0}
    assert pool.keys(np.array([11, 0, 8, 1])) == [f"{0:032x}", f"{3:032x}"]


@given(st.permutations(range(12)), st.integers(1, 11))
def test_a_digest_tells_which_rows_in_which_order(order: list[int], cut: int) -> None:
    pool, ids = pool_of(), np.array(order)
    assert pool.digest(ids) == pool_of().digest(ids)
    assert pool.digest(ids) != pool.digest(ids[:cut])
    assert (pool.digest(ids) == pool.digest(ids[::-1])) == bool((ids == ids[::-1]).all())


def test_a_digest_is_of_rows_and_not_of_their_place_in_the_pool() -> None:
    # Two runs whose pools differ elsewhere share a stage that is fitted on the same rows
    other = Pool()
    other.append(block(0, 5))
    other.append(block(3, 4))
    assert pool_of().digest(np.array([2, 8, 10])) == other.digest(np.array([2, 5, 7]))
    assert pool_of().digest(np.array([2, 8])) != other.digest(np.array([2, 6]))


def test_a_view_of_rows_with_and_without_captions() -> None:
    pool = Pool()
    pool.append(block(0, 2))
    bare = Samples(torch.zeros(1, 1, 2, 2, dtype=torch.uint8), np.array([-1]))
    pool.append(block(1, 1, labels=np.array([-1]), load=lambda: bare))
    assert pool.view(np.array([2, 0])).captions.texts() == ["", "row 0"]
    assert pool.view(np.array([2])).captions.table == ()


@pytest.mark.parametrize("ids", [[0, 2], [2, 0], [2, 3], [0, 1]])
def test_rows_that_a_family_keeps_in_floats_mix_with_quantised_ones(ids: list[int]) -> None:
    pool = Pool()
    pool.append(block(0, 2, load=lambda: Samples(torch.tensor([0, 255], dtype=torch.uint8), np.arange(2))))
    pool.append(block(1, 2, load=lambda: Samples(torch.tensor([0.25, -0.5]), np.arange(2))))
    data = pool.view(np.array(ids)).gathered().data
    scaled = data.float() / 127.5 - 1 if data.dtype == torch.uint8 else data
    assert scaled.tolist() == [[-1.0, 1.0, 0.25, -0.5][i] for i in ids]


def test_a_view_of_no_rows_is_an_error() -> None:
    with pytest.raises(ValueError, match="no rows"):
        pool_of().view(np.zeros(0, np.int64))
