"""The frozen parts of a latent diffusion pipeline: pictures and prompts are encoded once, and latents are decoded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from collapse_lab.engine.view import Source, View
from collapse_lab.errors import UserError
from collapse_lab.images import as_float
from collapse_lab.nn.gpu_memory import encoding
from collapse_lab.nn.pipeline import PipelineFolder
from collapse_lab.nn.spans import spans
from collapse_lab.types import Allocate, Progress, Rows, States

EMPTY = 0  # the number of the empty prompt


class LatentCoder(ABC):
    """Encode pictures by a VAE, and decode latents.

    Every batch is full: a network rounds a row in another way where fewer rows are beside it, and the encoding of a row
    has to be the same wherever it is asked for. So a batch that is not full holds its last row more than once.

    Args:
        batch: How many pictures pass through the VAE at a time.
        mirrored: Whether each picture that is trained on is encoded mirrored too.

    Attributes:
        pictures: How many pictures the VAE has encoded.
    """

    def __init__(self, batch: int, mirrored: bool = False) -> None:
        self._batch, self._mirrored = batch, mirrored
        self.pictures = 0

    @property
    @abstractmethod
    def scale(self) -> float:
        """Return the number that latents are multiplied by before noise is added."""

    @property
    @abstractmethod
    def _vae(self) -> Any:
        """Return the VAE."""

    def encode_rows(
        self, rows: Rows, device: str, progress: Progress | None = None, allocate: Allocate = torch.empty
    ) -> Float[Tensor, "n k 2 c h w"]:
        """Return the mean and the standard deviation of the latents of each picture, on the CPU.

        Args:
            rows: Pictures (n, …), uint8 or in [-1, 1].
            device: Where they are encoded.
            progress: Told of every picture.
            allocate: Makes room for what is returned.

        Returns:
            The latents of the picture, and for k = 2 those of the mirrored one after them.

        Raises:
            UserError: the memory of the GPU is too small for a batch.
        """
        made = torch.empty(0)
        for span in spans(len(rows), self._batch):
            x = as_float(rows[span])
            turns = [self._latents(turn, device) for turn in ((x, x.flip(-1)) if self._mirrored else (x,))]
            laws = torch.stack(turns, 1)
            made = made if len(made) else allocate((len(rows), *laws.shape[1:]), dtype=laws.dtype)
            made[span] = laws
            if progress is not None:
                progress.advance(len(x))
        return made

    def latents(self, rows: Rows, device: torch.device) -> Float[Tensor, "n 2 c h w"]:
        """Return the mean and the standard deviation of the latents of each picture, on the CPU.

        Args:
            rows: Pictures (n, …), uint8 or in [-1, 1].
            device: Where they are encoded.

        Raises:
            UserError: the memory of the GPU is too small for a batch.
        """
        return torch.cat([self._latents(as_float(rows[span]), device) for span in spans(len(rows), self._batch)])

    @torch.no_grad()
    def _latents(self, x: Tensor, device: torch.device | str) -> Tensor:
        """Return mean and deviation of the latents of at most one batch of pictures."""
        filled = torch.cat([x, x[-1:].expand(self._batch - len(x), *x.shape[1:])])
        with encoding(self._batch, "picture"):
            law = self._vae.to(device).encode(filled.to(device)).latent_dist
            self.pictures += len(x)
            return torch.stack([law.mean, law.std], 1)[: len(x)].cpu()

    @torch.no_grad()
    def decoded(self, latents: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k p q"]:
        """Return the pictures of latents as the U-Net sees them; black is near -1 and white near 1."""
        vae = self._vae.to(latents.device)
        parts = [vae.decode(latents[span] / self.scale).sample for span in spans(len(latents), self._batch)]
        return torch.cat(parts)


class Encoders(LatentCoder):
    """Hold the VAE and the text encoder of a pipeline, which nothing here trains.

    They are read when they are first used, so that a run that is only planned does not read them.

    Batches of prompts are full too, as those of pictures are.

    Args:
        folder: The pipeline.
        batch: How many pictures or prompts pass through a network at a time.
        mirrored: Whether each picture that is trained on is encoded mirrored too.

    Attributes:
        prompts: How many prompts the text encoder has encoded.
        known: Gives the states of prompts that are encoded already; None encodes prompts here.
    """

    version: ClassVar[int] = 1  # raised whenever the same files would give other encodings

    def __init__(self, folder: PipelineFolder, batch: int, mirrored: bool = False) -> None:
        super().__init__(batch, mirrored)
        self._folder = folder
        self.prompts = 0
        self.known: States | None = None
        self._numbers: dict[str, int] = {}
        self._states = torch.empty(0)

    @property
    def row_identity(self) -> Mapping[str, Any]:
        """Return what the latents of a picture depend on besides the picture."""
        return {"version": self.version, "vae": self._folder.checksum_of_pictures, "mirrored": self._mirrored}

    @property
    def prompt_identity(self) -> Mapping[str, Any]:
        """Return what the states of a prompt depend on besides its text."""
        # Because stages of SDXL once held 0 for the empty prompt, the key says that they do not; others keep their keys
        return {"version": self.version, "texts": self._folder.checksum_of_texts, "empty_is_zero": False}

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
            UserError: a prompt is longer than the tokenizer takes, or the memory of the GPU is too small for a batch.
        """
        used, place = torch.unique(index, return_inverse=True)
        texts = [captions[number] for number in used.tolist()]
        if self.known is not None:
            return View.of(self.known(texts)).index_select(0, place)
        self._encode(texts, device)
        numbers = torch.tensor([self._numbers[text] for text in texts], dtype=torch.int64)
        return View([Source(self._states)], numbers[place])

    def empty(self, device: torch.device) -> Float[Tensor, "length width"]:
        """Return the states that stand for "no condition", on the CPU: those of the empty prompt.

        Where the pipeline says so, as that of SDXL does, they are 0. A row whose prompt is empty has the text encoder's
        states also there, as diffusers' pipeline has it.

        Args:
            device: Where the empty prompt is encoded.
        """
        if self.known is None:
            self._encode([], device)
        elif not len(self._states):
            self._states = self.known([""])[:]
        states = self._states[EMPTY]
        return torch.zeros_like(states) if self._folder.empty_is_zero else states

    def encode_prompts(
        self, texts: Sequence[str], device: str, progress: Progress | None = None, allocate: Allocate = torch.empty
    ) -> Float[Tensor, "n length width"]:
        """Return the text encoder's states of prompts, on the CPU; the rows are those of `states`.

        Args:
            texts: The prompts.
            device: Where they are encoded.
            progress: Told of every prompt.
            allocate: Makes room for what is returned.

        Raises:
            UserError: a prompt is longer than the tokenizer takes, or the memory of the GPU is too small for a batch.
        """
        self.check(texts)
        made = torch.empty(0)
        for span, states in zip(spans(len(texts), self._batch), self._batches(texts, device), strict=True):
            made = made if len(made) else allocate((len(texts), *states.shape[1:]), dtype=states.dtype)
            made[span] = states
            if progress is not None:
                progress.advance(len(states))
        return made

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

    def close(self) -> None:
        """Let go of the networks; they are read again when they are needed."""
        for name in ("_vae", "_texts"):
            vars(self).pop(name, None)

    def _encode(self, texts: Sequence[str], device: torch.device) -> None:
        """Encode the prompts that are new, and the empty one before all others."""
        new = [text for text in dict.fromkeys(["", *texts]) if text not in self._numbers]
        if not new:
            return
        self.check(new)
        self._states = torch.cat([self._states, *self._batches(new, device)])
        self._numbers |= {text: len(self._numbers) + number for number, text in enumerate(new)}

    def _batches(self, texts: Sequence[str], device: torch.device | str) -> Iterator[Tensor]:
        """Yield the states of one batch of prompts after another."""
        for span in spans(len(texts), self._batch):
            batch = list(texts[span])
            with encoding(self._batch, "prompt"):
                states = self._states_of([*batch, *[""] * (self._batch - len(batch))], device)[: len(batch)].cpu()
            self.prompts += len(batch)
            yield states

    @torch.no_grad()
    def _states_of(self, texts: list[str], device: torch.device | str) -> Tensor:
        nets = [net.to(device) for net in self._texts]
        tokens = [
            words(texts, padding="max_length", max_length=self._length, return_tensors="pt").to(device)
            for words in self._tokenizers
        ]
        if self._folder.two_texts:
            return _side_by_side(nets, tokens)
        masked = getattr(nets[0].config, "use_attention_mask", False)
        mask = tokens[0].attention_mask if masked else None
        states: Tensor = nets[0](tokens[0].input_ids, attention_mask=mask)[0]
        return states

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
