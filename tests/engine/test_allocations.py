"""Networks that do not fit into the memory are refused before anything is allocated."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from collapse_lab import memory
from collapse_lab.engine.allocations import bounded
from collapse_lab.errors import UserError

KIB = 1024


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine have 64 KiB."""
    monkeypatch.setattr(memory, "installed", lambda: 64 * KIB)


def layers(*widths: int) -> nn.Module:
    return nn.ModuleList([nn.Linear(width, width, bias=False) for width in widths])


def test_a_network_that_fits_is_built_on_the_cpu() -> None:
    # 4 bytes x 64 x 64 x 2 layers = 32 KiB
    with bounded("the net", "lower it"):
        built = layers(64, 64)
    assert sum(weight.nbytes for weight in built.parameters()) == 32 * KIB
    assert {weight.device.type for weight in built.parameters()} == {"cpu"}


def test_a_network_whose_layers_together_are_too_large_is_refused_and_named() -> None:
    # Five layers of 16 KiB each are 80 KiB
    message = r"^the net would take 81\.9 kB of memory or more, and .* 65\.5 kB; lower it$"
    with pytest.raises(UserError, match=message), bounded("the net", "lower it"):
        layers(64, 64, 64, 64, 64)


def test_another_error_of_a_constructor_is_raised_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="negative"), bounded("the net", "lower it"):
        torch.zeros(-1)


def test_a_size_beyond_64_bits_is_refused() -> None:
    with pytest.raises(UserError, match="the net would take"), bounded("the net", "lower it"):
        torch.zeros(2**40, 2**40)
