"""Read networks in the format of transformers, from a folder of the user or from a repository of the hub."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.features.frozen import FrozenImages
from collapse_lab.quiet import quiet
from collapse_lab.storage.files import checksum_of
from collapse_lab.storage.hub import fetched
from collapse_lab.types import Need

# The files of a repository that are fetched and read. Pickles can run code, so they are neither fetched nor opened.
READ = ("*.json", "*.txt", "*.model", "*.safetensors")


@dataclass(eq=False)
class PretrainedImages(FrozenImages):
    """Compute `FrozenImages` features with a transformers model.

    Images are resized, cropped and scaled as the processor beside the model says.

    Args:
        pretrained: a folder that `save_pretrained` wrote, with `model.safetensors`, or "owner/name" on the hub. The
            licence is the model's own; its card states it.
        revision: a commit, tag or branch. A name on the hub needs it, because only a commit keeps the weights the
            same.
        cache: the folder where files from the hub are kept.

    Raises:
        UserError: `pretrained` is missing, or `PretrainedFolder` refuses it.
    """

    libraries: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "transformers")
    example: ClassVar[str]  # a repository that messages name as an example
    architecture: ClassVar[str] = "AutoModel"
    reads: ClassVar[tuple[str, ...]] = ("AutoImageProcessor",)  # what is read beside the network
    kind: ClassVar[str | None] = None  # the `model_type` that config.json has to name

    _: KW_ONLY
    pretrained: str | None = None
    revision: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._folder = self._place(self.name, self.pretrained, self.revision, self.cache)

    @classmethod
    def prefetch(cls, arguments: Mapping[str, Any]) -> list[Need]:
        """Return the model."""
        folder = cls._place(*(arguments[name] for name in ("name", "pretrained", "revision", "cache")))
        return [need_of(folder, cls.architecture, cls.reads)]

    @classmethod
    def _place(cls, name: str, pretrained: str | None, revision: str | None, cache: str) -> PretrainedFolder:
        if pretrained is None:
            raise UserError(
                f"features '{name}' need features.{name}.pretrained: a folder that save_pretrained wrote, or "
                f"a name on the hub such as {cls.example}, with its revision"
            )
        return PretrainedFolder(name, pretrained, revision, cache, cls.kind)

    @cached_property
    def checksum(self) -> str:
        """Return the SHA-256 over weights and settings."""
        return self._folder.checksum

    @cached_property
    def resize(self) -> str:
        """Return in words how the processor resizes an image."""
        settings = self._processor.to_dict()
        steps = {"do_resize": ("size", "resample"), "do_center_crop": ("crop_size",)}
        used = {key: settings.get(key) for step, keys in steps.items() if settings.get(step) for key in keys}
        return ", ".join(f"{key} {value}" for key, value in used.items()) or "none"

    def open(self) -> None:
        """Read the network and its processor."""
        _ = self._network, self._processor

    def prepare(self, image: UInt8[np.ndarray, "3 h w"]) -> Float[Tensor, "3 s s"]:
        """Return an image as the processor prepares it."""
        pixels: Tensor = self._processor(
            torch.from_numpy(image), return_tensors="pt", input_data_format="channels_first"
        )["pixel_values"][0]
        return pixels

    @cached_property
    def _processor(self) -> Any:
        return self._folder.read("AutoImageProcessor")

    @cached_property
    def _network(self) -> Any:
        return self._folder.network(self.architecture).to(self.device)


@dataclass(eq=False)
class PretrainedFolder:
    """Find a model's files: in a folder of the user at once, or on the hub when they are first used.

    Args:
        name: the name of the features, for messages.
        source: a folder, or "owner/name" on the hub.
        revision: a commit, tag or branch of the hub; None for a folder.
        cache: the folder where files from the hub are kept.
        kind: the `model_type` that config.json has to name; None admits every type.

    Raises:
        UserError: `source` is neither a folder with weights of this kind nor a name with a revision.
    """

    name: str
    source: str
    revision: str | None
    cache: str
    kind: str | None = None

    def __post_init__(self) -> None:
        self._setting = f"features.{self.name}.pretrained={self.source}"
        folder = Path(self.source).expanduser()
        if folder.is_dir():
            self.folder = self._checked(folder)
        elif self.revision is None or self.source.startswith(("/", ".", "~")):
            raise UserError(
                f"{self._setting} is no folder here; a name on the hub needs features.{self.name}.revision: give the "
                "commit from its page, so that the same weights come every time"
            )

    @cached_property
    def folder(self) -> Path:
        """Return the folder, after fetching it where `source` is a name on the hub.

        Raises:
            UserError: the files cannot be fetched, or are not of this kind.
        """
        try:
            folder = self._snapshot(local=False)
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self._setting} cannot be fetched ({type(error).__name__}: {error}): check name, revision and "
                "network, or give a folder"
            ) from error
        return self._checked(folder)

    def find(self) -> bool:
        """Return whether the files are here, and take them from here then; no request is made."""
        if "folder" not in vars(self):
            try:
                self.folder = self._checked(self._snapshot(local=True))
            except (OSError, ValueError, UserError):
                return False
        return True

    def _snapshot(self, local: bool) -> Path:
        return fetched(self.source, self.revision, self.cache, READ, ["*/*"], local)

    def _checked(self, folder: Path) -> Path:
        if not (folder / "config.json").is_file() or not [*folder.glob("*.safetensors")]:
            raise UserError(
                f"{self._setting} should hold config.json and model.safetensors, and does not (other formats of "
                "weights are not opened): write the folder by save_pretrained"
            )
        try:
            kind = json.loads((folder / "config.json").read_text()).get("model_type")
        except (ValueError, AttributeError) as error:
            raise UserError(f"{folder / 'config.json'} cannot be read ({error}): replace it by a fresh copy") from error
        if self.kind is not None and kind != self.kind:
            raise UserError(f"{self._setting} should be a model of type {self.kind}, and is a {kind}: give another")
        return folder

    @cached_property
    def checksum(self) -> str:
        """Return the SHA-256 over the names and contents of the files that are read."""
        return checksum_of(sorted({path for pattern in READ for path in self.folder.glob(pattern)}), self.folder)

    def network(self, architecture: str) -> Any:
        """Return the model of an architecture with these weights, in float32.

        Args:
            architecture: a class of transformers, such as `CLIPModel`.

        Raises:
            UserError: the folder lacks weights of the architecture, which would then be random.
        """
        model, report = self.read(architecture, use_safetensors=True, dtype=torch.float32, output_loading_info=True)
        # The pooler is a head on top of the features, so it may be missing
        lacking = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
        if lacking:
            raise UserError(
                f"{self.folder} lacks weights of {type(model).__name__} ({', '.join(lacking[:3])}, …): it is another "
                f"kind of model than features '{self.name}' take"
            )
        return model.eval()

    def read(self, what: str, **options: Any) -> Any:
        """Return what a class of transformers reads from the folder.

        Args:
            what: the name of the class, such as `AutoTokenizer`.
            options: further arguments of `from_pretrained`.

        Raises:
            UserError: files are missing or damaged.
        """
        import transformers

        with quiet():
            try:
                return getattr(transformers, what).from_pretrained(self.folder, local_files_only=True, **options)
            except Exception as error:  # because safetensors, tokenizers and transformers raise their own
                raise UserError(
                    f"{self.folder} cannot be read by transformers' {what} ({type(error).__name__}: {error}): write it "
                    "by save_pretrained, model, processor and tokenizer"
                ) from error


def need_of(folder: PretrainedFolder, architecture: str, others: Sequence[str]) -> Need:
    """Return a model of transformers as something that a run takes from elsewhere.

    Args:
        folder: where its files are.
        architecture: the class of its network.
        others: the classes of what is read beside the network, such as "AutoTokenizer".
    """
    of_user, held = "folder" in vars(folder), folder.find()

    def check() -> None:
        folder.network(architecture)
        for what in others:
            folder.read(what)

    def obtain() -> None:
        try:
            check()
        except UserError:
            if of_user or not held:
                raise
            del folder.folder  # because an interrupted download has left a part of the files
            check()

    what = " at ".join(filter(None, (f"model {folder.source}", folder.revision)))
    return Need(what, held, obtain)
