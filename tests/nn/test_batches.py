"""Batches of rows: as many as were asked for, and on a GPU as many as its memory holds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.nn.batches import GPU_ROWS, Halving
from collapse_lab.types import AUTO

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def squares(holds: int, tried: list[int]) -> Callable[[slice], Tensor]:
    """Return what squares rows on a device whose memory holds so many of them."""

    def part(rows: slice) -> Tensor:
        n = rows.stop - rows.start
        tried.append(n)
        if n > holds:
            raise torch.OutOfMemoryError(f"{n} rows")
        return torch.arange(rows.start, rows.stop).square()

    return part


def test_auto_is_what_is_usual_on_a_cpu_and_large_on_a_gpu() -> None:
    assert Halving(AUTO, 32, CPU).rows == 32
    assert Halving(AUTO, 32, GPU).rows == GPU_ROWS
    assert Halving(AUTO, 32, GPU, divides=False).rows == 32
    assert Halving(7, 32, CPU).rows == Halving(7, 32, GPU).rows == 7


def test_batches_are_halved_until_they_fit_and_stay_so() -> None:
    tried: list[int] = []
    halving = Halving(AUTO, 32, GPU)
    for n in (GPU_ROWS, 300):
        assert torch.equal(halving.compute(slice(5, 5 + n), squares(150, tried)), torch.arange(5, 5 + n).square())
    assert tried == [1024, 512, 256, *[128] * 8, 128, 128, 44]


def test_a_short_last_batch_is_halved_from_its_own_size() -> None:
    tried: list[int] = []
    assert len(Halving(AUTO, 32, GPU).compute(slice(0, 10), squares(4, tried))) == 10
    assert tried == [10, 5, 3, 3, 3, 1]


def test_a_number_that_was_asked_for_is_not_halved() -> None:
    with pytest.raises(UserError, match=r"too small to sample 8 rows at a time; lower model\.sampling_batch"):
        Halving(8, 32, GPU).compute(slice(0, 8), squares(4, []))
    with pytest.raises(UserError, match=r"too small to sample one row; end what else .* GPU, or give device=cpu\."):
        Halving(AUTO, 32, GPU).compute(slice(0, 8), squares(0, []))


def test_another_error_is_not_taken_for_a_lack_of_memory() -> None:
    def broken(rows: slice) -> Tensor:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal memory access"):
        Halving(AUTO, 32, GPU).compute(slice(0, 8), broken)
