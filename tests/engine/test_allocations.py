"""Networks that do not fit into the memory are refused before anything is allocated."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from collapse_lab import memory
from collapse_lab.engine.allocations import bounded, built_in_memory
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
    built = built_in_memory(lambda: layers(64, 64), "the net", "lower it", dry=True)
    assert sum(weight.nbytes for weight in built.parameters()) == 32 * KIB
    assert {weight.device.type for weight in built.parameters()} == {"cpu"}


def test_a_network_whose_layers_together_are_too_large_is_refused_and_named() -> None:
    # Five layers of 16 KiB each are 80 KiB
    with pytest.raises(UserError, match=r"^the net would take 81\.9 kB of memory or more, and .* 65\.5 kB; lower it$"):
        built_in_memory(lambda: layers(64, 64, 64, 64, 64), "the net", "lower it", dry=True)


def test_a_dry_construction_allocates_none_of_the_tensors_before_the_one_that_is_too_large() -> None:
    devices: list[str] = []

    def build() -> nn.Module:
        first = nn.Linear(64, 64)
        devices.append(first.weight.device.type)
        return nn.ModuleList([first, nn.Linear(10**6, 10**6)])

    with pytest.raises(UserError, match="4 TB"):
        built_in_memory(build, "the net", "lower it", dry=True)
    assert devices == ["meta"]
    with pytest.raises(UserError, match="4 TB"):
        built_in_memory(build, "the net", "lower it", dry=False)
    assert devices == ["meta", "cpu"]


def test_a_constructor_that_reads_values_is_built_without_the_meta_device() -> None:
    built = built_in_memory(lambda: float(torch.zeros(3).sum()), "the net", "lower it", dry=True)
    assert built == 0.0


def test_another_error_of_a_constructor_is_raised_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="negative"):
        built_in_memory(lambda: torch.zeros(-1), "the net", "lower it", dry=True)


def test_a_size_beyond_64_bits_is_refused() -> None:
    with pytest.raises(UserError, match="the net would take"), bounded("the net", "lower it"):
        torch.zeros(2**40, 2**40)
