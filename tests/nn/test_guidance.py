from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.nn.guidance import guided, interval


def noise(seed: int) -> Tensor:
    return torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


@given(st.floats(-5, 10), st.integers(0, 1000))
def test_guidance_is_the_line_through_both_predictions(scale: float, seed: int) -> None:
    conditional, unconditional = noise(seed).double(), noise(seed + 1).double()
    prediction = guided(conditional, unconditional, scale)
    torch.testing.assert_close(prediction, scale * conditional + (1 - scale) * unconditional, rtol=0, atol=1e-12)


def test_a_scale_of_zero_ignores_the_condition_and_of_one_is_no_guidance() -> None:
    conditional, unconditional = noise(1), noise(2)
    assert torch.equal(guided(conditional, unconditional, 0), unconditional)
    torch.testing.assert_close(guided(conditional, unconditional, 1), conditional)
    assert torch.equal(guided(conditional, conditional, 7.5), conditional)


def test_an_interval_outside_of_the_process_is_refused() -> None:
    assert interval([0, 1]) == (0, 1)
    assert interval([0.4, 0.4]) == (0.4, 0.4)
    for wrong in ([0.8, 0.2], [0.1], [-0.1, 0.5], [0.5, 1.1], [float("nan"), 1.0]):
        with pytest.raises(UserError, match=r"model\.guidance_interval is \[low, high\]"):
            interval(wrong)
