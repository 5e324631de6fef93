"""Networks in the format of transformers: a folder of the user's, or a repository of the Hugging Face hub."""

from __future__ import annotations

import hashlib
import json
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
from collapse_lab.storage.files import checksum

READ = ("*.json", "*.txt", "*.model", "*.safetensors")  # of a repository; pickles are never fetched, nor opened


@dataclass(eq=False)
class PretrainedImages(FrozenImages):
    """`FrozenImages` of a transformers model, resized, cropped and scaled as the processor saved beside it says.

    pretrained: a folder that `save_pretrained` wrote, with `model.safetensors`, or "owner/name" on the hub. Licence:
        the model's own, to be read on its card.
    revision: a commit, tag or branch; needed for a name on the hub, as only a commit keeps the weights the same.
    cache: the folder where what comes from the hub is kept.
    """

    libraries: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "transformers")
    example: ClassVar[str]  # a repository, named where none is given
    architecture: ClassVar[str] = "AutoModel"
    kind: ClassVar[str | None] = None  # the `model_type` that its config.json has to name

    _: KW_ONLY
    pretrained: str | None = None
    revision: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pretrained is None:
            raise UserError(
                f"features '{self.name}' need features.{self.name}.pretrained: a folder that save_pretrained wrote, or "
                f"a name on the hub such as {self.example}, with its revision"
            )
        self._folder = Pretrained(self.name, self.pretrained, self.revision, self.cache, self.kind)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 over weights and settings."""
        return self._folder.checksum

    @cached_property
    def resize(self) -> str:
        """What the processor does to the size."""
        said = self._processor.to_dict()
        steps = {"do_resize": ("size", "resample"), "do_center_crop": ("crop_size",)}
        kept = {key: said.get(key) for step, keys in steps.items() if said.get(step) for key in keys}
        return ", ".join(f"{key} {value}" for key, value in kept.items()) or "none"

    def open(self) -> None:
        """Reads the network and its processor."""
        _ = self._network, self._processor

    def prepare(self, image: UInt8[np.ndarray, "3 h w"]) -> Float[Tensor, "3 s s"]:
        """What the processor makes of an image."""
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
class Pretrained:
    """A model's files, found at once in a folder of the user's, or fetched from the hub when first asked for.

    Raises: UserError where `source` is neither a folder with weights of this kind nor a name with a revision.
    """

    name: str
    source: str
    revision: str | None
    cache: str
    kind: str | None = None

    def __post_init__(self) -> None:
        self._said = f"features.{self.name}.pretrained={self.source}"
        given = Path(self.source).expanduser()
        if given.is_dir():
            self.folder = self._checked(given)
        elif self.revision is None or self.source.startswith(("/", ".", "~")):
            raise UserError(
                f"{self._said} is no folder here; a name on the hub needs features.{self.name}.revision: give the "
                "commit from its page, so that the same weights come every time"
            )

    @cached_property
    def folder(self) -> Path:
        """The folder; what is a name on the hub is fetched."""
        from huggingface_hub import snapshot_download

        try:
            found = snapshot_download(
                self.source,
                revision=self.revision,
                cache_dir=Path(self.cache).expanduser() / "hub",
                allow_patterns=[*READ],
                ignore_patterns=["*/*"],
            )
        except (OSError, ValueError) as error:  # the hub's own errors are among them
            raise UserError(
                f"{self._said} cannot be fetched ({type(error).__name__}: {error}): check name, revision and network, "
                "or give a folder"
            ) from error
        return self._checked(Path(found))

    def _checked(self, folder: Path) -> Path:
        if not (folder / "config.json").is_file() or not [*folder.glob("*.safetensors")]:
            raise UserError(
                f"{self._said} should hold config.json and model.safetensors, and does not (other formats of weights "
                "are not opened): write the folder by save_pretrained"
            )
        try:
            kind = json.loads((folder / "config.json").read_text()).get("model_type")
        except (ValueError, AttributeError) as error:
            raise UserError(f"{folder / 'config.json'} cannot be read ({error}): replace it by a fresh copy") from error
        if self.kind is not None and kind != self.kind:
            raise UserError(f"{self._said} should be a model of type {self.kind}, and is a {kind}: give another")
        return folder

    @cached_property
    def checksum(self) -> str:
        """SHA-256 over the names and contents of the files that are read."""
        digest = hashlib.sha256()
        for path in sorted({path for pattern in READ for path in self.folder.glob(pattern)}):
            digest.update(f"{path.name}\0{checksum(path)}\0".encode())
        return digest.hexdigest()

    def network(self, architecture: str) -> Any:
        """The model of an architecture with these weights, in float32.

        Raises:
            UserError: a folder that lacks weights of the architecture, which would be random otherwise.
        """
        model, report = self.read(architecture, use_safetensors=True, dtype=torch.float32, output_loading_info=True)
        # Heads on top of what is read as features
        lacking = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
        if lacking:
            raise UserError(
                f"{self.folder} lacks weights of {type(model).__name__} ({', '.join(lacking[:3])}, …): it is another "
                f"kind of model than features '{self.name}' take"
            )
        return model.eval()

    def read(self, what: str, **options: Any) -> Any:
        """What a class of transformers makes of the folder.

        Raises:
            UserError: the folder is not whole.
        """
        import transformers

        with quiet():
            try:
                return getattr(transformers, what).from_pretrained(self.folder, local_files_only=True, **options)
            except Exception as error:  # safetensors, tokenizers and transformers have their own
                raise UserError(
                    f"{self.folder} cannot be read by transformers' {what} ({type(error).__name__}: {error}): write it "
                    "by save_pretrained, model, processor and tokenizer"
                ) from error
