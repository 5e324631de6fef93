"""Find pretrained language models by name: in a folder of the user, in a package, or on the hub."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_IMODE
from typing import Any

from collapse_lab.engine.executor import Alone
from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.quiet import quiet
from collapse_lab.storage.fetch import Package, obtain
from collapse_lab.storage.files import checksum, locked, make_folder, sync
from collapse_lab.texts import gguf, llama2c
from collapse_lab.types import Need

TOKENIZER_FILES = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.model")


@dataclass(frozen=True)
class Packaged:
    """Describe a model that a package holds in a format of its own.

    Attributes:
        package: where its file comes from.
        convert: reads the file (first argument) and writes the model into a folder as `save_pretrained` does.
        version: a higher number converts again what the cache holds.
    """

    package: Package
    convert: Callable[[Path, Path], None]
    version: int = 1

    @property
    def folder(self) -> str:
        """Return the name of its folder in the cache."""
        return f"{self.package.folder}-v{self.version}"


PACKAGED: Mapping[str, Packaged] = {
    "stories15m": Packaged(llama2c.PACKAGE, llama2c.convert),
    "smollm2_135m": Packaged(gguf.PACKAGE, gguf.convert),
}


def checkpoint(name: str, root: str) -> str:
    """Return what transformers' `from_pretrained` takes for a language model: a folder, or a name on the hub.

    Args:
        name: a folder that `save_pretrained` wrote; `stories15m` (15.2 M parameters, TinyStories, MIT) or
            `smollm2_135m` (134.5 M, instruction-tuned, Apache-2.0), which are fetched from their packages and
            converted once; or "owner/name" on the hub, whose licence is on its card.
        root: the cache (paths.data).

    Returns:
        The path of a folder, or the name on the hub as it is given.

    Raises:
        UserError: the name is none of these, or the package cannot be fetched.
    """
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        return str(_checked(folder))
    if name in PACKAGED:
        return str(_converted(PACKAGED[name], Path(root).expanduser()))
    if name.count("/") != 1 or name.startswith(("/", ".", "~")) or name.endswith("/"):
        raise UserError(
            f"'{name}' is neither a folder here nor a known language model ({', '.join(PACKAGED)}): "
            f"{did_you_mean(name, PACKAGED)}; a name on the hub is written owner/name, as in facebook/opt-125m"
        )
    return name


def need_of(name: str, root: str, part: str, read: Callable[[bool], object]) -> Need:
    """Return a part of a language model as something that a run takes from elsewhere.

    Args:
        name: as `checkpoint` takes it.
        root: the cache (paths.data).
        part: what is read of it, such as "tokenizer".
        read: reads the part; its argument says whether nothing may be fetched.
    """
    what = f"{part} of {name}"
    if name in PACKAGED:
        return Need(
            what, (Path(root).expanduser() / "checkpoints" / PACKAGED[name].folder).is_dir(), lambda: read(True)
        )
    if Path(checkpoint(name, root)).is_dir():
        return Need(what, True, lambda: read(True))
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json", cache_dir=Path(root).expanduser() / "hub")
    held = isinstance(found, str)

    def obtain() -> None:
        try:
            read(held)
        except UserError:
            if not held:
                raise
            read(False)  # because an interrupted download has left a part of the files

    return Need(what, held, obtain)


def identity(name: str) -> Mapping[str, Any]:
    """Return what the tokenizer of a checkpoint depends on, without fetching it.

    Args:
        name: as `checkpoint` takes it.

    Returns:
        Checksums by file name for a folder; checksums and version for a package; the name for a model on the hub.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        files = {path for pattern in TOKENIZER_FILES for path in folder.glob(pattern) if path.is_file()}
        return {path.name: checksum(path) for path in sorted(files)}
    if name in PACKAGED:
        return {**PACKAGED[name].package.files, "version": PACKAGED[name].version}
    return {"hub": name}


def _checked(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{folder} should hold a language model as save_pretrained writes it, and has no config.json: give the "
            f"folder with config.json, model.safetensors and tokenizer.json, or one of {', '.join(PACKAGED)}"
        )
    return folder


def _converted(packaged: Packaged, root: Path) -> Path:
    shelf = root / "checkpoints"
    target = shelf / packaged.folder
    if target.is_dir():
        return target
    make_folder(shelf, "paths.data")
    with locked(shelf / f".{packaged.folder}.lock", f"the checkpoint {packaged.folder}", Alone()):
        if not target.is_dir():
            import torch

            files = obtain(packaged.package, root)
            draft = shelf / f".converting-{os.getpid()}-{packaged.folder}"
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            try:
                with torch.random.fork_rng(devices=[]), quiet():  # since weights are drawn before they are overwritten
                    packaged.convert(next(iter(files.values())), draft)
                # Because safetensors gives its file to its owner alone, take the mode of a file that follows the umask
                mode = S_IMODE((draft / "config.json").stat().st_mode)
                for path in draft.iterdir():
                    path.chmod(mode)
                    sync(path)
                draft.replace(target)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    return target
