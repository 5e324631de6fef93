"""The frozen parts of a latent diffusion pipeline: pictures and prompts are encoded once, and latents are decoded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from collapse_lab.engine.view import Source, View
from collapse_lab.errors import UserError
from collapse_lab.images import as_float
from collapse_lab.nn.pipeline import PipelineFolder
from collapse_lab.nn.spans import spans
from collapse_lab.types import Rows

EMPTY = 0  # the number of the empty prompt, which stands for "no condition"


class LatentCoder(ABC):
    """Encode pictures by a VAE, and decode latents.

    Args:
        batch: How many pictures pass through the VAE at a time.

    Attributes:
        pictures: How many pictures the VAE has encoded.
    """

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self.pictures = 0

    @property
    @abstractmethod
    def scale(self) -> float:
        """Return the number that latents are multiplied by before noise is added."""

    @property
    @abstractmethod
    def _vae(self) -> Any:
        """Return the VAE."""

    @torch.no_grad()
    def latents(self, rows: Rows, device: torch.device, mirrored: bool = False) -> Float[Tensor, "n 2 c h w"]:
        """Return the mean and the standard deviation of the latents of each picture, on the CPU.

        Args:
            rows: Pictures (n, …), uint8 or in [-1, 1].
            device: Where they are encoded.
            mirrored: Whether the same of the mirrored pictures follows, n more rows.
        """
        vae, made = self._vae.to(device), torch.empty(0)
        for turn in range(1 + mirrored):
            for span in spans(len(rows), self._batch):
                x = as_float(rows[span]).to(device)
                law = vae.encode(x.flip(-1) if turn else x).latent_dist
                pair = torch.stack([law.mean, law.std], 1).cpu()
                made = made if len(made) else torch.empty((1 + mirrored) * len(rows), *pair.shape[1:])
                made[span.start + turn * len(rows) : span.stop + turn * len(rows)] = pair
        self.pictures += len(made)
        return made

    @torch.no_grad()
    def decoded(self, latents: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k p q"]:
        """Return the pictures of latents as the U-Net sees them; black is near -1 and white near 1."""
        vae = self._vae.to(latents.device)
        parts = [vae.decode(latents[span] / self.scale).sample for span in spans(len(latents), self._batch)]
        return torch.cat(parts)


class Encoders(LatentCoder):
    """Hold the VAE and the text encoder of a pipeline, which nothing here trains.

    They are read when they are first used, so that a run that is only planned does not read them.

    Args:
        folder: The pipeline.
        batch: How many pictures or prompts pass through a network at a time.

    Attributes:
        prompts: How many prompts the text encoder has encoded.
    """

    def __init__(self, folder: PipelineFolder, batch: int) -> None:
        super().__init__(batch)
        self._folder = folder
        self.prompts = 0
        self._numbers: dict[str, int] = {}
        self._states = torch.empty(0)

    @property
    def scale(self) -> float:
        """Return the number that latents are multiplied by before noise is added."""
        return float(self._folder.vae_settings.get("scaling_factor", 0.18215))

    def states(self, captions: Sequence[str], index: Shaped[Tensor, " n"], device: torch.device) -> View:
        """Return the text encoder's states (n, length, width) of n prompts, on the CPU, still to be gathered.

        Of two text encoders (SDXL) the states before the last layer stand side by side, and one more row, the last,
        holds the second one's embedding of the whole prompt, filled up with 0. A prompt is encoded once, however often
        it is asked for.

        Args:
            captions: The distinct prompts.
            index: The number of each of the n prompts among them.
            device: Where they are encoded.

        Raises:
            UserError: a prompt is longer than the tokenizer takes.
        """
        used, place = torch.unique(index, return_inverse=True)
        texts = [captions[number] for number in used.tolist()]
        self._encode(texts, device)
        numbers = torch.tensor([self._numbers[text] for text in texts], dtype=torch.int64)
        return View([Source(self._states)], numbers[place])

    def empty(self, device: torch.device) -> Float[Tensor, "length width"]:
        """Return the states of the empty prompt, on the CPU.

        Args:
            device: Where it is encoded.
        """
        self._encode([], device)
        return self._states[EMPTY]

    def check(self, texts: Sequence[str]) -> None:
        """Refuse prompts that the tokenizer would cut off.

        Raises:
            UserError: a prompt has more tokens than the text encoder takes; the message has their numbers.
        """
        if not texts:
            return
        tokens = [words(list(texts), verbose=False).input_ids for words in self._tokenizers]
        counts = [max(map(len, ids)) for ids in zip(*tokens, strict=True)]
        longest = max(counts, default=0)
        if longest > self._length:
            text = texts[counts.index(longest)]
            raise UserError(
                f"{sum(count > self._length for count in counts)} of {len(counts)} prompts are longer than the "
                f"{self._length} tokens that the tokenizer of {self._folder.path} takes, start and end included; the "
                f"longest has {longest}: '{text[:80]}…'. Shorten it (dataset.templates, or the file of prompts)"
            )

    def release(self) -> None:
        """Move the networks to the CPU, so that a GPU has room for the U-Net."""
        for net in [vars(self).get("_vae"), *vars(self).get("_texts", ())]:
            if net is not None:
                net.to("cpu")

    def _encode(self, texts: Sequence[str], device: torch.device) -> None:
        """Encode the prompts that are new, and the empty one before all others."""
        new = [text for text in dict.fromkeys(["", *texts]) if text not in self._numbers]
        if not new:
            return
        self.check(new)
        made = torch.cat([self._states, *self._batches(new, device)])
        if not self._numbers and self._folder.empty_is_zero:
            made[EMPTY] = 0
        self._numbers |= {text: len(self._numbers) + number for number, text in enumerate(new)}
        self._states, self.prompts = made, self.prompts + len(new)

    @torch.no_grad()
    def _batches(self, texts: Sequence[str], device: torch.device) -> Iterator[Tensor]:
        nets = [net.to(device) for net in self._texts]
        for span in spans(len(texts), self._batch):
            tokens = [
                words(list(texts[span]), padding="max_length", max_length=self._length, return_tensors="pt").to(device)
                for words in self._tokenizers
            ]
            if self._folder.two_texts:
                yield _side_by_side(nets, tokens).cpu()
                continue
            masked = getattr(nets[0].config, "use_attention_mask", False)
            mask = tokens[0].attention_mask if masked else None
            states: Tensor = nets[0](tokens[0].input_ids, attention_mask=mask)[0]
            yield states.cpu()

    @cached_property
    def _vae(self) -> Any:
        return self._folder.network("vae").requires_grad_(False)

    @cached_property
    def _texts(self) -> list[Any]:
        parts = [part for part in self._folder.networks if part.startswith("text_encoder")]
        return [self._folder.network(part).requires_grad_(False) for part in parts]

    @cached_property
    def _tokenizers(self) -> list[Any]:
        return [self._folder.tokenizer(part) for part in self._folder.tokenizers]

    @cached_property
    def _length(self) -> int:
        """Return the tokens of a prompt: as many as the tokenizer says and the text encoder has positions for."""
        positions = self._folder.text_settings["max_position_embeddings"]
        return min(int(positions), *(int(words.model_max_length) for words in self._tokenizers))


def _side_by_side(nets: Sequence[Any], tokens: Sequence[Any]) -> Float[Tensor, "n rows width"]:
    """Return the states of two text encoders side by side, and the second one's embedding of the prompt below them."""
    first, second = (net(own.input_ids, output_hidden_states=True) for net, own in zip(nets, tokens, strict=True))
    states = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1)
    whole = torch.nn.functional.pad(second.text_embeds, (0, states.shape[-1] - second.text_embeds.shape[-1]))
    return torch.cat([states, whole[:, None]], 1)
