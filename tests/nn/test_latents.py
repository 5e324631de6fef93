from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from collapse_lab.nn.latents import normal


@given(
    n=st.integers(1, 90),
    shape=st.sampled_from([(1,), (3,), (1, 2, 2), (3, 5, 1), (1, 4, 4), (3, 8, 8)]),
    size=st.integers(1, 70),
    seed=st.integers(0, 3),
)
def test_noise_that_is_drawn_a_span_at_a_time_is_that_of_one_call(
    n: int, shape: tuple[int, ...], size: int, seed: int
) -> None:
    whole, apart = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed)
    expected = torch.randn(n, *shape, generator=whole)
    parts = list(normal(n, shape, size, apart))
    assert torch.equal(torch.cat(parts), expected)
    assert [len(part) for part in parts] == [min(size, n - start) for start in range(0, n, size)]
    assert torch.equal(torch.rand(5, generator=apart), torch.rand(5, generator=whole))
