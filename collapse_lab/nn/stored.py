"""Read the weights of a fit out of a store, to start a model from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from collapse_lab.errors import UserError


def read_weights(path: str) -> Mapping[str, Tensor]:
    """Return the tensors of a fit by name.

    Args:
        path: A `tensors.safetensors`, or the folder that holds it.

    Raises:
        UserError: there is no such file.
    """
    from safetensors.torch import load_file

    file = Path(path) / "tensors.safetensors" if Path(path).is_dir() else Path(path)
    if file.suffix != ".safetensors" or not file.exists():
        raise UserError(f"model.pretrained is a .safetensors file, or a stage's folder that holds one; got {path}")
    return load_file(file)
