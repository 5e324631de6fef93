"""Low-rank adapters: a network whose weights stay, and small matrices beside them that are trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from collapse_lab.errors import UserError


def adapted(net: nn.Module, rank: int, alpha: float, targets: Sequence[str]) -> nn.ModuleDict:
    """Freeze a network, and put B A of a low rank beside each weight of some layers: W x becomes W x + (alpha/r) B A x.

    A is normal with a standard deviation of 1/r and B is 0, so that the network gives what it gave. The matrices are
    peft's, and stand in the network as well as in what is returned.

    Source: eq. 3 of arXiv:2106.09685.

    Args:
        net: The network, which is changed.
        rank: r, the rows of A and the columns of B.
        alpha: alpha above.
        targets: The ends of the layers' names, such as `to_q`.

    Returns:
        For each layer, by its name with / in the place of dots: the modules `A` and `B`.

    Raises:
        UserError: peft is not installed, or no layer has such a name.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise UserError(
            "model.lora_rank needs peft, which is not installed: pip install 'collapse-lab[sd]', or give "
            "model.lora_rank=null to train all weights"
        ) from error
    net.requires_grad_(False)
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(targets), init_lora_weights="gaussian")
    try:
        inject_adapter_in_model(config, net)
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"model.lora_targets={list(targets)} names no layers that take adapters ({reason}); give the ends of names "
            "of linear layers, such as [to_q, to_k, to_v, to_out.0]"
        ) from error
    found = {name: layer for name, layer in net.named_modules() if hasattr(layer, "lora_A")}
    return nn.ModuleDict(
        {
            name.replace(".", "/"): nn.ModuleDict({"A": layer.lora_A["default"], "B": layer.lora_B["default"]})
            for name, layer in found.items()
        }
    )


def merged(net: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a network that `adapted` changed, W + (alpha/r) B A under the names without adapters."""
    kept = {name: value for name, value in net.state_dict().items() if ".lora_" not in name}
    summed = {name.replace(".base_layer.", "."): value for name, value in kept.items()}
    layers: dict[str, Any] = {name: layer for name, layer in net.named_modules() if hasattr(layer, "lora_A")}
    for name, layer in layers.items():
        summed[f"{name}.weight"] = summed[f"{name}.weight"] + layer.get_delta_weight("default")
    return {name: value.detach() for name, value in summed.items()}
