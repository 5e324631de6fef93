"""A causal language model that continues texts: any model of transformers, pretrained or small and from scratch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from jaxtyping import Float, Int
from torch import Tensor, nn

from collapse_lab.engine import lightning
from collapse_lab.engine.ahead import Drawing
from collapse_lab.engine.checkpoint import global_streams
from collapse_lab.engine.fitting import RandomRows
from collapse_lab.engine.selection import Best, Times
from collapse_lab.errors import UserError
from collapse_lab.nn import decoding
from collapse_lab.nn.as_text import AsText
from collapse_lab.nn.exporting import export_language
from collapse_lab.nn.language import Architecture, from_scratch, needs_of, pretrained_for, pretrained_weights
from collapse_lab.nn.optimisation import FINETUNING_ONLY, Optimisation
from collapse_lab.nn.spans import spans
from collapse_lab.seeds import Seeds
from collapse_lab.texts.tokenizer import tokenizer
from collapse_lab.types import (
    Budget,
    Checkpointing,
    Conditions,
    Count,
    Exported,
    Layers,
    Need,
    Positive,
    Progress,
    ProperShare,
    Rows,
    Samples,
    Spec,
    Weights,
    Width,
)

Mass = Annotated[float, Gt(0), Le(1)]


class CausalLM(Drawing):
    """min E -log p(x_t | x_1 … x_t-1), the mean over a block's tokens from the second on.

    A sample is a block of tokens that continues the context it is given: by beam search, or token by token at random
    (arXiv:2305.17493 predicts the next 64 tokens of each block with five beams).

    Args:
        spec: The data set, of blocks of tokens.
        pretrained: Where the weights, the architecture and the tokenizer come from: a folder that `save_pretrained`
            wrote, `stories15m`, `smollm2_135m`, or "owner/name" on the hub. None builds `architecture` from scratch.
        read_as: `tokens`: the model reads and writes the tokens of the data set. `text`: a pretrained model reads the
            text of each block with its own tokenizer, and what it writes is encoded with that of the data set, so that
            members of a population may have unlike tokenizers (`nn.as_text.AsText`).
        architecture: `gpt2`, `opt` or `llama`, of `width`, `layers`, `heads` and `dropout`. A pretrained model has its
            own five.
        width: The size of a state; a multiple of `heads`.
        layers: The number of transformer layers.
        heads: The number of attention heads of a layer.
        dropout: The share that dropout sets to 0 while training, in [0, 1).
        optimisation: The settings of AdamW. The family keeps no moving average.
        selection: Which weights a fit keeps: the `last` ones, or the `best` ones, which have the smallest loss on the
            validation rows of the data set (arXiv:2305.17493). The validation rows are real in every generation.
        validate_every: The number of steps between two measurements of that loss; None measures it whenever every
            training row has been seen once more. The last weights are measured in any case.
        num_beams: The width of the search; 1 is greedy.
        do_sample: Whether tokens are drawn at random instead.
        temperature: The temperature of the distribution that tokens are drawn from; above 0.
        top_p: The mass of the nucleus that tokens are drawn from, in (0, 1].
        repetition_penalty: A number above 1 makes tokens less likely that were there before; 1 is no penalty.
        sampling_batch: How many texts are continued at a time.
        root: The folder in which packages and weights are kept (paths.data).

    Raises:
        UserError: the data set has no tokens; its tokenizer is not that of the pretrained model, which reads tokens;
            `read_as=text` is given without a pretrained model; its blocks are longer than half of the model's
            positions; `heads` do not divide `width`; `temperature` or `top_p` are given and no tokens are drawn, or
            beams and drawing are both asked for; `optimisation` has a moving average; `validate_every` is given and the
            last weights are kept.
    """

    version: ClassVar[int] = 1
    sampling_only: ClassVar[frozenset[str]] = frozenset(
        {"num_beams", "do_sample", "temperature", "top_p", "repetition_penalty", "sampling_batch"}
    )
    finetuning_only: ClassVar[frozenset[str]] = FINETUNING_ONLY
    gathers: ClassVar[bool] = True
    resumes: ClassVar[bool] = True
    divides: ClassVar[bool] = True
    weighs: ClassVar[bool] = True

    def __init__(
        self,
        spec: Spec,
        *,
        pretrained: str | None = None,
        read_as: Literal["tokens", "text"] = "tokens",
        architecture: Architecture = "gpt2",
        width: Width = 128,
        layers: Layers = 4,
        heads: Count = 4,
        dropout: ProperShare = 0.0,
        optimisation: Optimisation = Optimisation(lr=1e-3, lr_schedule="cosine", weight_decay=0.01, warmup=0.05),
        selection: Literal["last", "best"] = "last",
        validate_every: Count | None = None,
        num_beams: Annotated[int, Ge(1), Le(1000)] = 5,
        do_sample: bool = False,
        temperature: Positive = 1.0,
        top_p: Mass = 1.0,
        repetition_penalty: Positive = 1.0,
        sampling_batch: Count = 32,
        root: str = "~/.cache/collapse_lab",
    ) -> None:
        super().__init__()
        if spec.modality != "tokens" or spec.tokens is None:
            raise UserError(
                f"model=causal_lm is a model of texts; this data set holds {spec.modality} of shape {spec.shape}: give "
                "a data set of texts, such as dataset=python_docs or dataset=wikipedia"
            )
        optimisation.refuse_average("causal_lm")
        optimisation.refuse_kept("causal_lm")
        if read_as == "text" and pretrained is None:
            raise UserError(
                "model.read_as=text reads with the tokenizer of a pretrained model, and model.pretrained is null: give "
                "model.pretrained, or model.read_as=tokens"
            )
        _check_decoding(num_beams, do_sample, temperature, top_p)
        if selection == "last" and validate_every is not None:
            raise UserError(
                f"model.validate_every={validate_every} says when the validation rows are looked at, and "
                "model.selection=last looks at none; give model.selection=best, or model.validate_every=null"
            )
        self.spec, self.optimisation, self.validate_every = spec, optimisation, validate_every
        self.validates = selection == "best"
        self.num_beams, self.do_sample, self.temperature, self.top_p = num_beams, do_sample, temperature, top_p
        self.repetition_penalty, self.sampling_batch = repetition_penalty, sampling_batch
        block, own = spec.shape[0], None
        if pretrained is None:
            self.net = from_scratch(architecture, spec.tokens.size, 2 * block, width, layers, heads, dropout)
        elif read_as == "text":
            self.net, own = pretrained_weights(pretrained, root), tokenizer(pretrained, 0, (), root)
        else:
            self.net = pretrained_for(spec.tokens, pretrained, root)
        positions = getattr(self.net.config, "max_position_embeddings", None)
        if positions is not None and positions < 2 * block:
            raise UserError(
                f"a block of {block} tokens that follows another takes {2 * block} positions, and {pretrained} has "
                f"{positions}: give dataset.block={positions // 2} or less"
            )
        self._as_text = None if own is None else AsText(spec.tokens, own, block, positions)

    @staticmethod
    def prefetch(arguments: Mapping[str, Any]) -> list[Need]:
        """Return the weights and the tokenizer of the pretrained model; none for a model from scratch."""
        pretrained = arguments["pretrained"]
        return [] if pretrained is None else needs_of(pretrained, arguments["root"])

    def fit(
        self,
        data: Samples[Rows],
        budget: Budget,
        seeds: Seeds,
        progress: Progress,
        checkpoint: Checkpointing | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        """Train the network on blocks of tokens, and keep the last weights or the best ones.

        Where `weights` (n,) are given, rows are drawn by them (`RandomRows`). All else is as in `GenerativeModel.fit`.

        Raises:
            Diverged: the loss is not finite.
        """
        self._rows, self._budget = self._read(data), budget
        self.train()
        best = Best(progress, Times(self.validate_every, len(data), budget), self._validation_loss, self.weights)
        watch = (lambda _: best) if self.validates else lightning.Watch
        with seeds.child("dropout").scoped(budget.device):
            lightning.fit(self, RandomRows(len(data), budget, seeds, weights), budget, progress, watch, checkpoint)
        self.looks = best.looks
        if self.validates and budget.steps:
            self.load(best.kept)
        del self._rows  # because the model outlives the fit and would keep the rows

    def streams(self) -> dict[str, torch.Generator]:
        """Return the generators of dropout."""
        return global_streams(self._budget.device)

    def validate_on(self, rows: Samples) -> None:
        """Take the blocks on which the next fit chooses its weights."""
        self._validation = self._read(rows)

    def _read(self, blocks: Samples[Rows]) -> Rows:
        """Return blocks in the tokens that the network reads."""
        return blocks.data if self._as_text is None else self._as_text.read(blocks.gathered().data)

    @torch.no_grad()
    def _validation_loss(self) -> float:
        """Return the mean loss of the validation blocks, in float32 and without dropout."""
        self.eval()
        batches = spans(len(self._validation), self._budget.batch_size)
        total = sum(float(self._scores(self._validation[span].to(self.device)).double().sum()) for span in batches)
        self.train()
        return total / (len(self._validation) * (self.spec.shape[0] - 1))

    def training_step(self, rows: Tensor) -> Tensor:
        """Return the loss of the blocks with these numbers."""
        (blocks,) = self.drawn(rows)
        return self._scores(blocks).mean()

    def draw(self, rows: Tensor) -> tuple[Tensor]:
        """Return the blocks with these numbers, (n, length), on the CPU."""
        return (self._rows[rows],)

    def configure_optimizers(self) -> Any:
        """Return AdamW in the form that Lightning takes."""
        return self.optimisation.adamw(self.parameters(), self._budget, fused=lightning.fused(self))

    @torch.no_grad()
    def sample(self, conditions: Conditions, seeds: Seeds, progress: Progress) -> Samples:
        """Return the block of tokens that follows each context.

        Raises:
            UserError: the conditions have no context to continue.
        """
        if conditions.context is None:
            raise UserError("model=causal_lm continues texts, and was given none: give prompts=continuation")
        self.eval()
        length = self.spec.shape[0] if self._as_text is None else self._as_text.most
        uniform = torch.rand(len(conditions), length, generator=seeds.torch())
        if self._as_text is None:
            blocks = self._continue(conditions.context[:], uniform, progress.advance)
        else:

            def write(contexts: Tensor, places: Tensor, length: int) -> Tensor:
                return self._continue(contexts, uniform[places, :length], lambda _: None)

            blocks = self._as_text.continued(conditions.context[:], write, progress.advance)
        return Samples(blocks, conditions.labels, conditions.captions)

    def _continue(
        self, contexts: Int[Tensor, "n before"], uniform: Float[Tensor, "n length"], advance: Callable[[int], None]
    ) -> Int[Tensor, "n length"]:
        """Return what follows contexts of one length, a batch at a time."""
        written = []
        for span in spans(len(contexts), self.sampling_batch):
            context, numbers = contexts[span].to(self.device), uniform[span].to(self.device)
            written.append(self._continue_batch(context, numbers, partial(advance, len(context))).cpu())
        return torch.cat(written)

    def _continue_batch(self, context: Tensor, uniform: Tensor, advance: Callable[[], None]) -> Tensor:
        net: Any = self.net
        if self.do_sample:
            return decoding.draw(net, context, uniform, self.temperature, self.top_p, self.repetition_penalty, advance)
        return decoding.beam_search(net, context, uniform.shape[1], self.num_beams, self.repetition_penalty, advance)

    def sampling_steps(self, n: int) -> int:
        """Return how often `sample` advances the progress for n conditions."""
        return n * self.spec.shape[0]

    @torch.no_grad()
    def token_nlls(self, samples: Samples[Rows]) -> Float[Tensor, "n length_less_1"]:
        """Return -log p(x_t | x_1 … x_t-1) of each token from the second on.

        A model that reads text has a sum for each block: over its own tokens from the second on. It is spread evenly
        over the tokens of the data set, so that members of unlike tokenizers are compared on the same texts.

        Args:
            samples: n blocks of tokens.

        Returns:
            The numbers (n, length - 1), in nats and 0 or more.
        """
        self.eval()
        rows, batches = self._read(samples), spans(len(samples), self.sampling_batch)
        return torch.cat([self._scores(rows[span].to(self.device)).cpu() for span in batches])

    def _scores(self, tokens: Int[Tensor, "n own"]) -> Float[Tensor, "n length_less_1"]:
        """Return the scores that `token_nlls` describes, of blocks as the network reads them."""
        logits = self.net(tokens.clamp(min=0), use_cache=False).logits[:, :-1].float()
        nlls = nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")
        if self._as_text is None:
            return nlls
        # A row ends with `NO_TOKEN`, whose score is 0
        length = self.spec.shape[0] - 1
        return (nlls.sum(1, keepdim=True) / length).expand(-1, length)

    def weights(self) -> Weights:
        """Return the parameters by name, on the CPU.

        Each parameter is there once: the last layer may share its weights with the embedding.
        """
        named = dict(self.net.named_parameters())
        return {name: value.detach().cpu().contiguous() for name, value in named.items()}

    def load(self, weights: Weights) -> None:
        """Take over what `weights` returned."""
        with torch.no_grad():
            for name, parameter in self.net.named_parameters():
                parameter.copy_(weights[name])

    def export(self, folder: Path) -> Exported:
        """Write a causal language model of transformers, with the tokenizer that it reads with."""
        assert self.spec.tokens is not None  # because the constructor has refused a data set without tokens
        tokens = self.spec.tokens if self._as_text is None else self._as_text.own.tokens
        return export_language(folder, self.net, tokens)


def _check_decoding(num_beams: int, do_sample: bool, temperature: float, top_p: float) -> None:
    if do_sample and num_beams != 1:
        raise UserError(
            f"tokens are drawn at random or found by a beam search, not both; give model.num_beams=1, not {num_beams}"
        )
    if not do_sample and (temperature != 1 or top_p != 1):
        raise UserError(
            "model.temperature and model.top_p change the distribution that tokens are drawn from, and a beam search "
            "draws none; give model.do_sample=true model.num_beams=1, or leave them at 1"
        )
