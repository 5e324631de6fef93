"""Matching of intensities against a direct reference, which sorts all of them, and the memory that it takes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from collapse_lab.curation import quantiles
from collapse_lab.curation.histogram import MatchHistogram
from collapse_lab.curation.quantiles import Quantiles, match_quantiles
from collapse_lab.curation.sequence import InOrder
from collapse_lab.engine.view import Source, View
from collapse_lab.types import Rows, Samples

Over = Literal["pool", "group", "image"]
OVER = get_args(Over)


def shown(images: np.ndarray) -> np.ndarray:
    """Return images as float32 in [-1, 1]."""
    if images.dtype != np.uint8:
        return images
    floats: np.ndarray = images.astype(np.float32) / np.float32(127.5) - np.float32(1)
    return floats


def mapped_by_sorting(values: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return Q_target(F(values)), by the midpoint of the rank of each value among all of them."""
    _, number, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2) / values.size
    ordered = np.sort(target, axis=None)
    mapped: np.ndarray = np.interp(ranks, (np.arange(ordered.size) + 0.5) / ordered.size, ordered)[number]
    return mapped.reshape(values.shape)


def pairs(over: Over, labels: np.ndarray, real: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    if over == "pool":
        yield np.arange(len(labels)), np.arange(len(real))
        return
    for label in np.unique(labels):
        rows, goals = np.flatnonzero(labels == label), np.flatnonzero(real == label)
        if over == "group":
            yield rows, goals
            continue
        drawn: list[int] = []
        while len(drawn) < len(rows):
            drawn += rng.permutation(goals).tolist()
        yield from ((np.array([row]), np.array([goal])) for row, goal in zip(rows, drawn, strict=False))


def reference(over: Over, generated: Samples, real: Samples, seed: int) -> np.ndarray:
    """Return what matching gives where every intensity is held as float32 and sorted."""
    images = generated.data.numpy()
    before, goal = shown(images), shown(real.data.numpy())
    after = np.empty_like(before)
    for rows, goals in pairs(over, generated.labels, real.labels, seed):
        for c in range(before.shape[1]):
            after[rows, c] = mapped_by_sorting(before[rows, c], goal[goals, c])
    if images.dtype != np.uint8:
        return after
    levels: np.ndarray = np.clip(np.rint((after + np.float32(1)) * np.float32(127.5)), 0, 255).astype(np.uint8)
    return levels


def pictures(n: int, seed: int, levels: int, kind: str = "uint8", side: int = 4) -> Samples:
    """Return n pictures of three labels, of so many distinct intensities at most."""
    rng = np.random.default_rng(seed)
    palette = rng.choice(256, levels, replace=False).astype(np.uint8)
    images = palette[rng.integers(levels, size=(n, 3, side, side))]
    labels = np.arange(n) % 3
    return Samples(torch.from_numpy(images if kind == "uint8" else shown(images)), labels)


@given(
    over=st.sampled_from(OVER),
    sizes=st.tuples(st.integers(1, 12), st.integers(3, 12)),
    levels=st.tuples(*[st.sampled_from([1, 2, 5, 256])] * 2),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=150, deadline=None)
def test_counting_levels_gives_to_the_last_bit_what_sorting_gives(
    over: Over, sizes: tuple[int, int], levels: tuple[int, int], seed: int
) -> None:
    generated, real = pictures(sizes[0], seed, levels[0]), pictures(sizes[1], seed + 1, levels[1])
    matched = MatchHistogram(over).apply(generated, real, None, np.random.default_rng(seed))
    assert matched.data.dtype == torch.uint8
    assert np.array_equal(matched.data.numpy(), reference(over, generated, real, seed))


@pytest.mark.parametrize("over", OVER)
@pytest.mark.parametrize("kinds", [("float32", "uint8"), ("uint8", "float32"), ("float32", "float32")])
def test_floating_point_images_too_are_matched_as_sorting_does(over: Over, kinds: tuple[str, str]) -> None:
    for seed, levels in enumerate((2, 40, 256)):
        generated, real = pictures(9, seed, levels, kinds[0]), pictures(7, seed + 1, levels, kinds[1])
        matched = MatchHistogram(over).apply(generated, real, None, np.random.default_rng(seed))
        wanted = reference(over, generated, real, seed)
        assert matched.data.numpy().dtype == wanted.dtype
        assert np.array_equal(matched.data.numpy(), wanted)


@pytest.mark.parametrize("over", OVER)
@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_parts_and_views_give_what_one_tensor_gives(over: Over, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generated, real = pictures(11, 0, 90), pictures(14, 1, 200, kind)
    wanted = reference(over, generated, real, 5)
    order = torch.randperm(14, generator=torch.Generator().manual_seed(0))
    blocks = [Source(real.data[order[:6]].clone()), Source(real.data[order[6:]].clone())]
    place = order.argsort()
    block = (place >= 6).to(torch.int32)
    view = View(blocks, place - 6 * block, block)
    monkeypatch.setattr(quantiles, "NUMBERS", 2 * 3 * 4 * 4)  # two pictures
    for data in (real.data, view):
        matched = MatchHistogram(over).apply(generated, Samples(data, real.labels), None, np.random.default_rng(5))
        assert np.array_equal(matched.data.numpy(), wanted)


def test_quantiles_of_counts_are_those_of_the_intensities_at_every_rank() -> None:
    levels = np.repeat(np.array([3, 4, 90, 255], np.uint8), [1, 40, 2, 1])
    counted = Quantiles.of_counts(np.bincount(levels, minlength=256))
    assert len(counted.places) == 6
    ranks = np.linspace(0, 1, 1001)
    sorted_ones = Quantiles.of_values(shown(levels))
    assert np.array_equal(
        np.interp(ranks, counted.places, counted.values), np.interp(ranks, sorted_ones.places, sorted_ones.values)
    )


def test_equal_intensities_stay_equal() -> None:
    mapped = match_quantiles(np.array([1.0, 5.0, 1.0, 1.0]), Quantiles.of_values(np.array([0.0, 1.0, 2.0, 10.0])))
    # The three ones have the ranks 0 to 3 of 4, with the middle 3/8, which is the place of the target's second number
    assert mapped.tolist() == [1.0, 10.0, 1.0, 1.0]


class Endless:
    """Give pictures that are made when they are asked for, and note how many at a time.

    Attributes:
        most: the largest number of pictures that was asked for at a time.
    """

    def __init__(self, n: int) -> None:
        self.shape, self.dtype, self.ndim, self.most = (n, 3, 16, 16), torch.uint8, 4, 0

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Tensor, /) -> Tensor:
        assert isinstance(rows, Tensor)
        self.most = max(self.most, len(rows))
        return (rows[:, None, None, None] % 256).to(torch.uint8).expand(-1, *self.shape[1:])

    def index_select(self, dim: int, index: Tensor, /) -> Rows:
        raise NotImplementedError


@pytest.mark.parametrize("over", OVER)
def test_memory_does_not_grow_with_the_number_of_real_images(over: Over, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantiles, "NUMBERS", 20 * 3 * 16 * 16)  # 20 pictures
    generated, peaks = pictures(30, 0, 256, side=16), []
    for n in (600, 9000):
        real = Samples[Rows](Endless(n), np.arange(n) % 3)
        tracemalloc.start()
        MatchHistogram(over).apply(generated, real, None, np.random.default_rng(0))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert isinstance(real.data, Endless)
        assert real.data.most <= 20
    # What grows are row numbers, three arrays of int64 at most; a copy of the pictures would be 768 bytes a row
    assert peaks[1] - peaks[0] < 9000 * 3 * 8


def test_matching_asks_for_rows_that_are_gathered_as_it_reads_them() -> None:
    assert MatchHistogram.gathers
    assert InOrder([MatchHistogram(), MatchHistogram("group")]).gathers
