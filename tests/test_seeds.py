from __future__ import annotations

from contextlib import suppress
from itertools import combinations, product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from collapse_lab.seeds import Seeds

PLACES = st.builds(
    Seeds,
    seed=st.integers(0, 2**63),
    generation=st.integers(0, 10_000),
    model=st.text("abc1", min_size=1, max_size=4),
    role=st.text("abc1/", min_size=1, max_size=6),
)


@given(PLACES, PLACES)
def test_places_share_randomness_if_and_only_if_they_are_one(one: Seeds, other: Seeds) -> None:
    assert (one.entropy == other.entropy) == (one == other)
    assert 0 <= one.entropy < 2**63


def test_neighbouring_places_never_collide() -> None:
    # Sums or products of the parts would: (1, 11) and (11, 1), ("a", "b/c") and ("a/b", "c")
    names = ("a", "b", "a/b", "1", "11")
    places = [Seeds(s, g, m, r) for s, g, m, r in product(range(12), range(12), names, names)]
    assert len({place.entropy for place in places}) == len(places)


@given(PLACES)
def test_the_same_place_always_gives_the_same(place: Seeds) -> None:
    twin = Seeds(*place.path)  # type: ignore[arg-type]
    assert (place.numpy().random(5) == twin.numpy().random(5)).all()
    assert torch.equal(torch.rand(5, generator=place.torch()), torch.rand(5, generator=twin.torch()))


def test_what_a_seed_gives_is_fixed_for_good() -> None:
    # A store outlives the code: were this to change, stages would be taken for what they are not
    place = Seeds(0, 0, "model", "fit")
    assert place.entropy == 0x75313B0428E6ED30
    assert place.path == [0, 0, "model", "fit"]


def test_a_child_is_a_place_below() -> None:
    place = Seeds(4, 2, "bold", "fit")
    assert place.child("noise").child("x") == Seeds(4, 2, "bold", "fit/noise/x")
    assert place.child("noise").entropy != place.entropy


def test_streams_of_different_places_are_uncorrelated() -> None:
    n = 4000
    draws = np.stack([Seeds(s, g, "m", "r").numpy().standard_normal(n) for s in (0, 1) for g in (0, 1)])
    for one, other in combinations(draws, 2):
        assert abs(np.mean(one * other)) < 5 / np.sqrt(n)


def test_a_scope_seeds_torch_and_leaves_no_trace() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with Seeds(0, 0, "m", "init").scoped():
        first = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with Seeds(0, 0, "m", "init").scoped():
        assert torch.equal(torch.rand(3), first)
    assert not torch.equal(first, expected)


def test_a_scope_that_fails_leaves_no_trace_either() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with suppress(ZeroDivisionError), Seeds(0, 0, "m", "init").scoped():
        torch.rand(1)
        raise ZeroDivisionError
    assert torch.equal(torch.rand(3), expected)


def test_a_scope_on_the_cpu_wakes_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    # As on a machine with a GPU, where every call that would wake it fails
    def wakes() -> None:
        raise AssertionError("the GPU would wake")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "_lazy_init", wakes)
    with Seeds(0, 0, "m", "init").scoped():
        first = torch.rand(3)
    with Seeds(0, 0, "m", "init").scoped("cpu"):
        assert torch.equal(torch.rand(3), first)
    with pytest.raises(AssertionError, match="would wake"), Seeds(0, 0, "m", "init").scoped("cuda"):
        raise ValueError("the block begins")


@pytest.mark.gpu
def test_a_scope_on_a_gpu_seeds_its_generator_and_leaves_no_trace() -> None:
    torch.cuda.manual_seed(7)
    expected = torch.rand(3, device="cuda")
    torch.cuda.manual_seed(7)
    with Seeds(0, 0, "m", "dropout").scoped("cuda"):
        first = torch.rand(3, device="cuda")
    assert torch.equal(torch.rand(3, device="cuda"), expected)
    with Seeds(0, 0, "m", "dropout").scoped("cuda"):
        assert torch.equal(torch.rand(3, device="cuda"), first)
