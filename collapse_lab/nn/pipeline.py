"""A text-to-image pipeline in diffusers' format: check its folder, and read its parts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from collapse_lab.errors import UserError
from collapse_lab.nn.noising import VariancePreserving
from collapse_lab.quiet import quiet
from collapse_lab.storage.files import checksum_of
from collapse_lab.storage.mapped import checksum_once

INDEX = "model_index.json"
SCHEDULER = "scheduler/scheduler_config.json"
# part -> (its class, the library of the class, the name of its weights without the ending)
NETWORKS = {
    "unet": ("UNet2DConditionModel", "diffusers", "diffusion_pytorch_model"),
    "vae": ("AutoencoderKL", "diffusers", "diffusion_pytorch_model"),
    "text_encoder": ("CLIPTextModel", "transformers", "model"),
}
SECOND = "text_encoder_2"  # of SDXL, with a tokenizer of its own
SECOND_TEXTS = ("CLIPTextModelWithProjection", "transformers", "model")
OWN_TOKENIZER = "PreTrainedTokenizerFast"  # of model=latent_diffusion, whose tokens are words
PICKLES = (".bin", ".ckpt", ".pt", ".pth")


@dataclass(frozen=True)
class PipelineFolder:
    """Represent a folder that `save_pretrained` of diffusers wrote: Stable Diffusion 1.x or 2.x, or SDXL.

    Its weights are safetensors. Pickles can run code, so they are not opened.

    Args:
        path: The folder.

    Raises:
        UserError: it is no such folder, it lacks a part, it is a pipeline of another kind, or a part has pickled
            weights alone.
    """

    path: Path

    def __post_init__(self) -> None:
        named = self.index
        kind = named.get("_class_name")
        lacking = [part for part in (*self.networks, *self.tokenizers, "scheduler") if not self._has(part)]
        other = [part for part in ("text_encoder_3", "transformer", "prior") if named.get(part)]
        if other:
            raise UserError(
                f"{self.path} is a {kind} with {', '.join(other)}, and model=stable_diffusion takes Stable Diffusion "
                "1.x, 2.x and SDXL, whose U-Net is given texts of CLIP: give another folder"
            )
        if lacking:
            raise UserError(
                f"{self.path} is a {kind} without {', '.join(lacking)}: write the whole pipeline by save_pretrained of "
                "its class in diffusers"
            )
        for part, (wanted, _, _) in self.networks.items():
            if named[part][1] != wanted:
                raise UserError(
                    f"the {part} of {self.path} is a {named[part][1]}, and model=stable_diffusion takes a {wanted}: "
                    "give another folder"
                )
            self._weights(part)
        self._check_widths()

    @cached_property
    def index(self) -> dict[str, Any]:
        """Return the names of the parts and their classes."""
        return self._json(INDEX, "it is no pipeline")

    @property
    def two_texts(self) -> bool:
        """Return whether there are two text encoders, as in SDXL."""
        return bool((self.index.get(SECOND) or [None])[0])

    @property
    def empty_is_zero(self) -> bool:
        """Return whether 0 stands for "no condition", as SDXL's pipeline is told in its index."""
        return self.two_texts and bool(self.index.get("force_zeros_for_empty_prompt", True))

    @property
    def networks(self) -> dict[str, tuple[str, str, str]]:
        """Return the class, its library and the name of the weights of each network."""
        return NETWORKS | ({SECOND: SECOND_TEXTS} if self.two_texts else {})

    @property
    def tokenizers(self) -> tuple[str, ...]:
        """Return the names of the tokenizers, one for each text encoder."""
        return ("tokenizer", "tokenizer_2") if self.two_texts else ("tokenizer",)

    @cached_property
    def unet_settings(self) -> dict[str, Any]:
        """Return the configuration of the U-Net."""
        return self._json("unet/config.json", "its U-Net cannot be built")

    @cached_property
    def vae_settings(self) -> dict[str, Any]:
        """Return the configuration of the VAE."""
        return self._json("vae/config.json", "its VAE cannot be built")

    @cached_property
    def text_settings(self) -> dict[str, Any]:
        """Return the configuration of the text encoder."""
        return self._json("text_encoder/config.json", "its text encoder cannot be built")

    @cached_property
    def second_settings(self) -> dict[str, Any]:
        """Return the configuration of the second text encoder."""
        return self._json(f"{SECOND}/config.json", "its second text encoder cannot be built")

    @property
    def factor(self) -> int:
        """Return by how much the VAE shrinks the sides of an image."""
        return int(2 ** (len(self.vae_settings["block_out_channels"]) - 1))

    @property
    def scheduler(self) -> str:
        """Return the class of the pipeline's own scheduler."""
        return str(self._json(SCHEDULER, "nothing says how it samples")["_class_name"])

    @cached_property
    def checksum(self) -> str:
        """Return the SHA-256 over the names and contents of all files that are read."""
        files = [self.path / INDEX, self.path / SCHEDULER, *self._files(*self.tokenizers, *self.networks)]
        return checksum_of(files, self.path, checksum_once)

    @cached_property
    def checksum_of_pictures(self) -> str:
        """Return the SHA-256 over the files that the latents of pictures depend on."""
        return checksum_of(self._files("vae"), self.path, checksum_once)

    @cached_property
    def checksum_of_texts(self) -> str:
        """Return the SHA-256 over the files that the states of prompts depend on."""
        parts = [part for part in self.networks if part.startswith("text_encoder")]
        return checksum_of(self._files(*self.tokenizers, *parts), self.path, checksum_once)

    def noising(self) -> VariancePreserving:
        """Return the forward process that the U-Net was trained with, and what it predicts.

        Latents are never clipped: `clip_sample` of an old configuration is overruled, as the pipeline itself does it,
        and so is another `steps_offset` than 1.

        Raises:
            UserError: the U-Net predicts neither the noise nor the velocity.
        """
        from diffusers import DDPMScheduler

        settings = self._json(SCHEDULER, "nothing says how it was trained")
        predicts = settings.get("prediction_type", "epsilon")
        if predicts not in ("epsilon", "v_prediction"):
            raise UserError(
                f"the U-Net of {self.path} predicts '{predicts}' (scheduler/scheduler_config.json), and "
                "model=stable_diffusion trains epsilon and v_prediction: give another folder"
            )
        if "steps_offset" in settings:
            settings["steps_offset"] = 1
        return VariancePreserving(DDPMScheduler.from_config(settings | {"clip_sample": False}))

    def network(self, part: str) -> Any:
        """Return a network with the folder's weights, in float32 and not in training.

        Args:
            part: `unet`, `vae`, `text_encoder` or `text_encoder_2`.

        Raises:
            UserError: the weights are damaged, or some are missing, which would then be random.
        """
        kind, library, _ = self.networks[part]

        def read(source: Any) -> tuple[nn.Module, dict[str, Any]]:
            pair: tuple[nn.Module, dict[str, Any]] = source.from_pretrained(
                self.path / part,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                **{"torch_dtype" if library == "diffusers" else "dtype": torch.float32},
            )
            return pair

        made, report = self._read(part, library, kind, read)
        lacking = sorted(key for key in report["missing_keys"] if not key.endswith("position_ids"))
        if lacking:
            raise UserError(
                f"{self.path / part} lacks weights of {kind} ({', '.join(lacking[:3])}, …): write the folder again by "
                "save_pretrained"
            )
        return made.eval()

    def tokenizer(self, part: str) -> Any:
        """Return a tokenizer.

        Args:
            part: `tokenizer` or `tokenizer_2`.
        """
        named = self.index[part][1]
        return self._read(
            part,
            "transformers",
            named if named == OWN_TOKENIZER else "CLIPTokenizer",
            lambda source: source.from_pretrained(self.path / part, local_files_only=True),
        )

    def _read(self, part: str, library: str, kind: str, read: Callable[[Any], Any]) -> Any:
        import importlib

        with quiet():
            try:
                return read(getattr(importlib.import_module(library), kind))
            except Exception as error:  # because safetensors, tokenizers and both libraries raise their own
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                raise UserError(
                    f"{self.path / part} cannot be read by {kind} of {library} ({reason}): write the folder again by "
                    "save_pretrained"
                ) from error

    def _has(self, part: str) -> bool:
        """Return whether the index names a part, and its folder is there."""
        return bool((self.index.get(part) or [None])[0]) and (self.path / part).is_dir()

    def _check_widths(self) -> None:
        """Refuse a U-Net that takes other latents than the VAE gives, or other conditions than are given here."""
        latent, taken = self.vae_settings["latent_channels"], self.unet_settings["in_channels"]
        if latent != taken or self.unet_settings["out_channels"] != latent:
            raise UserError(
                f"the U-Net of {self.path} takes {taken} channels, and its VAE gives {latent}; models that paint "
                "inside masks or depth maps are not trained here: give a text-to-image pipeline"
            )
        width, attended = self.text_settings["hidden_size"], self.unet_settings["cross_attention_dim"]
        width += self.second_settings["hidden_size"] if self.two_texts else 0
        if width != attended:
            raise UserError(
                f"the U-Net of {self.path} attends to texts of width {attended}, and its text encoder gives {width}: "
                "these parts are of different pipelines; give a whole one"
            )
        wanted = {"addition_embed_type": "text_time" if self.two_texts else None}
        for setting in ("addition_embed_type", "class_embed_type", "time_cond_proj_dim"):
            if self.unet_settings.get(setting) != wanted.get(setting):
                raise UserError(
                    f"the U-Net of {self.path} has {setting}={self.unet_settings.get(setting)}, and model="
                    f"stable_diffusion gives it {wanted.get(setting)}: give Stable Diffusion 1.x, 2.x or SDXL"
                )
        if self.vae_settings.get("latents_mean") is not None:
            raise UserError(
                f"the VAE of {self.path} has latents_mean, and latents are scaled by one number here: give Stable "
                "Diffusion 1.x, 2.x or SDXL"
            )

    def _weights(self, part: str) -> list[Path]:
        """Return the files of a network's weights: one, or an index and its shards."""
        folder, stem = self.path / part, self.networks[part][2]
        whole, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
        if whole.is_file():
            return [whole]
        if index.is_file():
            named = self._json(f"{part}/{index.name}", "its weights cannot be found").get("weight_map", {})
            shards = [folder / name for name in sorted(set(named.values()))]
            if shards and all(shard.is_file() for shard in shards):
                return [index, *shards]
        if any(path.suffix in PICKLES for path in folder.iterdir()):
            raise UserError(
                f"{folder} holds pickled weights alone, which can run code and are not opened: convert them where you "
                'trust them, by python -c "from diffusers import DiffusionPipeline as P; '
                f"P.from_pretrained('{self.path}', use_safetensors=False).save_pretrained('NEW')\""
            )
        raise UserError(
            f"{folder} should hold {whole.name}, or its shards with {index.name}, and does not: write the folder by "
            "save_pretrained, without a variant"
        )

    def _files(self, *parts: str) -> Iterator[Path]:
        """Yield the files of tokenizers and networks that are read."""
        for part in parts:
            if part in self.tokenizers:
                yield from sorted(file for file in (self.path / part).iterdir() if file.is_file())
            else:
                yield from (self.path / part / "config.json", *self._weights(part))

    def _json(self, name: str, otherwise: str) -> dict[str, Any]:
        file = self.path / name
        if not file.is_file():
            raise UserError(
                f"{self.path} has no {name}, so {otherwise}: give a folder that save_pretrained of diffusers' "
                "StableDiffusionPipeline or StableDiffusionXLPipeline wrote"
            )
        try:
            body = json.loads(file.read_text())
        except ValueError as error:
            raise UserError(f"{file} cannot be read ({error}): replace it by a fresh copy") from error
        if not isinstance(body, dict):
            raise UserError(f"{file} should hold a JSON object: replace it by a fresh copy")
        return body
