"""What an optimiser remembers of its gradients, as tensors beside the weights of a fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from collapse_lab.types import Weights

PREFIX = "optimiser/"  # of the names of moments among the tensors of a fit; no parameter is named so
PARTS = ("step", "exp_avg", "exp_avg_sq")  # of AdamW, for each parameter

Named = Iterable[tuple[str, Tensor]]


def moments_of(optimiser: torch.optim.Optimizer, parameters: Named) -> Weights:
    """Return the moments of the parameters that are still trained, on the CPU.

    Args:
        optimiser: an AdamW.
        parameters: the parameters by name.

    Returns:
        `optimiser/PART/NAME` -> the tensor.
    """
    trained = ((name, value) for name, value in parameters if value.requires_grad)
    held = {name: optimiser.state[value] for name, value in trained if value in optimiser.state}
    return {
        f"{PREFIX}{part}/{name}": state[part].detach().cpu()
        for name, state in held.items()
        for part in PARTS
        if part in state
    }


def continue_from(moments: Weights, optimiser: torch.optim.Optimizer, parameters: Named) -> None:
    """Let an optimiser go on from moments; a parameter that has none, or is not trained, begins without.

    Args:
        moments: what `moments_of` returned of parameters of these names.
        optimiser: an AdamW that has not stepped yet.
        parameters: the parameters by name.
    """
    name_of = {id(value): name for name, value in parameters if value.requires_grad}
    state: dict[int, dict[str, Tensor]] = {}
    for number, parameter in enumerate(value for group in optimiser.param_groups for value in group["params"]):
        name = name_of.get(id(parameter))
        # Copies, because the optimiser changes its moments in place, and these may be those of a stored stage
        own = {part: moments[key].clone() for part in PARTS if (key := f"{PREFIX}{part}/{name}") in moments}
        if own:
            state[number] = own
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def parted(tensors: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the weights, and the moments, among the tensors of a fit."""
    moments = {name: value for name, value in tensors.items() if name.startswith(PREFIX)}
    return {name: value for name, value in tensors.items() if name not in moments}, moments
