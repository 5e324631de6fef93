"""Write nested states, such as that of an optimiser, to one safetensors file, and read them back bit for bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from stat import S_IMODE
from typing import TYPE_CHECKING, Any

from collapse_lab.storage.files import sync, whole

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
DRAFT = ".draft"  # what the name of a snapshot ends with while it is written
HEADER = "collapse_lab"  # the name of our JSON among the metadata of the file


class UnusableSnapshot(Exception):
    """Report a file that is damaged, or was written for something else; the message says which."""


def draft_of(path: Path) -> Path:
    """Return the file in which a snapshot is written before it takes its name."""
    return path.with_name(path.name + DRAFT)


def remove_snapshot(path: Path) -> None:
    """Remove a snapshot, and what a process that was killed while it wrote one has left."""
    for file in (path, draft_of(path)):
        with suppress(OSError):  # because a file that stays costs room and nothing else
            file.unlink(missing_ok=True)


def write_snapshot(path: Path, state: Any, facts: Mapping[str, Any]) -> None:
    """Write a state so that a reader, or a crash, finds either the file of before or this one, never a part.

    Args:
        path: the file. One process at a time writes it.
        state: dictionaries, lists, tuples, tensors, numbers, texts, booleans and None, nested in each other. Keys of
            dictionaries are texts or whole numbers. A dictionary of another class is read back as a plain one.
        facts: what the state was written for, in plain values.

    Raises:
        TypeError: the state holds a value of another type.
        OSError, SafetensorError: the file cannot be written.
    """
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    tree = _plain(state, "", tensors, {})
    header = {"format": FORMAT, "facts": facts, "state": tree, "sha256": _digest(tensors, tree)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path, draft_of(path)) as draft:
        draft.touch()
        mode = S_IMODE(draft.stat().st_mode)
        save_file(tensors, draft, {HEADER: json.dumps(header)})
        # Because safetensors gives its file to its owner alone, take the mode of a file that follows the umask
        draft.chmod(mode)
    sync(path.parent)


def read_snapshot(path: Path, facts: Mapping[str, Any]) -> Any:
    """Return the state in a file, None where there is no file.

    Args:
        path: the file.
        facts: what the state must have been written for.

    Raises:
        UnusableSnapshot: the file is damaged, cannot be read, or was written for something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[HEADER])
            _check_facts({"format": FORMAT, **facts}, {"format": header["format"], **header["facts"]})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, because it is no mapping
            if _digest(tensors, header["state"]) != header["sha256"]:
                raise UnusableSnapshot("its numbers are not those that were written")
            return _nested(header["state"], tensors)
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnusableSnapshot(f"it cannot be read: {str(error) or type(error).__name__}") from error


def _check_facts(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    for name, value in wanted.items():
        if found.get(name) != value:
            raise UnusableSnapshot(f"its {name} is {found.get(name)}, and {value} is wanted")


def _plain(value: Any, name: str, tensors: dict[str, Tensor], names: dict[Any, str]) -> Any:
    """Return a value as JSON can hold it, and put its tensors among the others.

    A dictionary becomes {"dict": [[key, value], …]}, a tuple {"tuple": […]}, a tensor {"tensor": name}.

    Args:
        value: a part of a state.
        name: the way to the part, which names its tensors.
        tensors: the tensors of the state by name.
        names: where the numbers of a tensor lie -> its name, because weights may be shared.
    """
    import torch

    if isinstance(value, torch.Tensor):
        return _reference(value.detach(), name, tensors, names)
    if isinstance(value, Mapping):
        if not all(type(key) in (str, int) for key in value):
            raise TypeError(f"{name or 'the state'} has keys that are neither texts nor whole numbers")
        return {"dict": [[key, _plain(item, f"{name}/{key}", tensors, names)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        items = [_plain(item, f"{name}/{number}", tensors, names) for number, item in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{name or 'the state'} is of {type(value).__name__}, which a snapshot does not hold")


def _reference(tensor: Tensor, name: str, tensors: dict[str, Tensor], names: dict[Any, str]) -> dict[str, Any]:
    storage = (str(tensor.device), tensor.untyped_storage().data_ptr())
    place = (*storage, tensor.storage_offset(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
    if place not in names or tensor.numel() == 0:
        values = tensor.cpu().contiguous()
        # Because safetensors refuses tensors that share memory, copy another part of a storage that is there already
        tensors[name] = values.clone() if storage in names else values
        names[place] = names[storage] = name
    reference: dict[str, Any] = {"tensor": names[place]}
    if not tensor.is_contiguous():
        # Because fused optimisers take the numbers of moments and weights in the order in which they lie in memory
        reference["stride"] = list(tensor.stride())
    return reference


def _nested(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return a part of a state from its JSON."""
    import torch

    if isinstance(value, list):
        return [_nested(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "dict" in value:
        return {key: _nested(item, tensors) for key, item in value["dict"]}
    if "tuple" in value:
        return tuple(_nested(item, tensors) for item in value["tuple"])
    stored = tensors[value["tensor"]]
    if "stride" not in value:
        return stored.clone()  # because the numbers of the file are mapped, and a fit changes its state in place
    return torch.empty_strided(stored.shape, value["stride"], dtype=stored.dtype).copy_(stored)


def _digest(tensors: Mapping[str, Tensor], tree: Any) -> str:
    """Return SHA-256, in hex, over names, types, shapes and numbers of tensors, and over the rest of the state."""
    import torch

    sha = hashlib.sha256(json.dumps(tree).encode())
    for name, tensor in sorted(tensors.items()):
        sha.update(f"\0{name}\0{tensor.dtype}\0{list(tensor.shape)}\0".encode())
        sha.update(tensor.flatten().view(torch.uint8).numpy().data)
    return sha.hexdigest()
