"""A causal language model that continues texts: any of transformers', pretrained or small and from scratch."""

from __future__ import annotations

from typing import Any, ClassVar, get_args

import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from collapse_lab.engine import fitting
from collapse_lab.engine.seeds import Seeds
from collapse_lab.errors import UserError, check_choice
from collapse_lab.nn import decoding
from collapse_lab.nn.language import from_scratch, pretrained_for
from collapse_lab.nn.spans import spans
from collapse_lab.types import Budget, Conditions, Progress, Samples, Spec, Weights


class CausalLM(pl.LightningModule):
    """min E -log p(x_t | x_1 … x_t-1), the mean over a block's tokens from the second on.

    A sample is a block that continues the context it is given: by beam search, or token by token at random
    (arXiv:2305.17493 predicts each block's next 64 tokens by five beams).

    pretrained: whose weights, architecture and tokenizer are taken: a folder that `save_pretrained` wrote,
        `stories15m`, `smollm2_135m`, or "owner/name" on the hub. None builds `architecture` from scratch.
    architecture: `gpt2`, `opt` or `llama`, of `width`, `layers`, `heads` and `dropout`, which a pretrained one has of
        its own.
    lr_schedule: how the learning rate of AdamW goes to zero after its linear warm-up, or stays.
    num_beams: width of the search; 1 is greedy.
    do_sample: whether tokens are drawn, with `temperature` and the nucleus of mass `top_p`.
    repetition_penalty: above 1 makes tokens less likely that came before.
    root: where packages and weights are kept (paths.data).

    Raises:
        UserError: no tokens, another tokenizer than the pretrained model's, blocks longer than half of its positions,
            ranges, knobs of drawing where nothing is drawn.
    """

    version: ClassVar[int] = 1
    sampling_only: ClassVar[frozenset[str]] = frozenset(
        {"num_beams", "do_sample", "temperature", "top_p", "repetition_penalty", "sampling_batch"}
    )

    def __init__(
        self,
        spec: Spec,
        *,
        pretrained: str | None = None,
        architecture: str = "gpt2",
        width: int = 128,
        layers: int = 4,
        heads: int = 4,
        dropout: float = 0.0,
        lr: float = 1e-3,
        lr_schedule: str = "cosine",
        weight_decay: float = 0.01,
        warmup: float = 0.05,
        num_beams: int = 5,
        do_sample: bool = False,
        temperature: float = 1.0,
        top_p: float = 1.0,
        repetition_penalty: float = 1.0,
        sampling_batch: int = 32,
        root: str = "~/.cache/collapse_lab",
    ) -> None:
        super().__init__()
        if spec.modality != "tokens" or spec.tokens is None:
            raise UserError(
                f"model=causal_lm is a model of texts; this data set holds {spec.modality} of shape {spec.shape}: give "
                "one of texts, such as dataset=python_docs or dataset=wikipedia"
            )
        check_choice("model.lr_schedule", lr_schedule, get_args(fitting.Decay))
        _check_decoding(num_beams, do_sample, temperature, top_p, repetition_penalty, sampling_batch)
        self.spec, self.lr, self.lr_schedule = spec, lr, lr_schedule
        self.weight_decay, self.warmup = weight_decay, warmup
        self.num_beams, self.do_sample, self.temperature, self.top_p = num_beams, do_sample, temperature, top_p
        self.repetition_penalty, self.sampling_batch = repetition_penalty, sampling_batch
        block = spec.shape[0]
        if pretrained is None:
            self.net = from_scratch(architecture, spec.tokens.size, 2 * block, width, layers, heads, dropout)
        else:
            self.net = pretrained_for(spec.tokens, pretrained, root)
        positions = getattr(self.net.config, "max_position_embeddings", None)
        if positions is not None and positions < 2 * block:
            raise UserError(
                f"a block of {block} tokens that follows another takes {2 * block} positions, and {pretrained} has "
                f"{positions}: give dataset.block={positions // 2} or less"
            )

    def fit(self, data: Samples, budget: Budget, seeds: Seeds, progress: Progress) -> None:
        self._rows, self._steps = data.data, budget.steps
        self.train()
        with seeds.child("dropout").scoped():
            fitting.fit(self, fitting.RandomRows(len(data), budget, seeds), budget, progress)
        del self._rows  # module and trainer refer to each other, and would keep the rows beyond the fit

    def transfer_batch_to_device(self, batch: Tensor, device: torch.device, dataloader_idx: int) -> Tensor:
        """Row numbers stay on the CPU, where the rows are."""
        return batch

    def training_step(self, rows: Tensor) -> Tensor:
        return self._nlls(self._rows[rows].to(self.device)).mean()

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(
            self.parameters(),
            self.lr,
            weight_decay=self.weight_decay,
            fused=fitting.fused(self),
        )
        return fitting.decayed(optimizer, self.lr_schedule, self.warmup, self._steps)

    @torch.no_grad()
    def sample(self, conditions: Conditions, seeds: Seeds, progress: Progress) -> Samples:
        """The block of tokens after each context.

        Raises:
            UserError: nothing to continue.
        """
        if conditions.context is None:
            raise UserError("model=causal_lm continues texts, and was given none: give prompts=continuation")
        self.eval()
        uniform = torch.rand(len(conditions), self.spec.shape[0], generator=seeds.torch())
        blocks = [
            self._continue(conditions.context[span].to(self.device), uniform[span].to(self.device), progress).cpu()
            for span in spans(len(conditions), self.sampling_batch)
        ]
        return Samples(torch.cat(blocks), conditions.labels, conditions.captions)

    def _continue(self, context: Tensor, uniform: Tensor, progress: Progress) -> Int[Tensor, "n length"]:
        def advance() -> None:
            progress.advance(len(context))

        net: Any = self.net
        if self.do_sample:
            return decoding.draw(net, context, uniform, self.temperature, self.top_p, self.repetition_penalty, advance)
        return decoding.beam_search(net, context, uniform.shape[1], self.num_beams, self.repetition_penalty, advance)

    def sampling_steps(self, n: int) -> int:
        """How often `sample` advances the progress for n conditions."""
        return n * self.spec.shape[0]

    @torch.no_grad()
    def token_nlls(self, samples: Samples) -> Float[Tensor, "n length_less_1"]:
        """-log p(x_t | x_1 … x_t-1) of each token from the second on, in nats."""
        self.eval()
        parts = spans(len(samples), self.sampling_batch)
        return torch.cat([self._nlls(samples.data[span].to(self.device)).cpu() for span in parts])

    def _nlls(self, tokens: Int[Tensor, "n length"]) -> Float[Tensor, "n length_less_1"]:
        logits = self.net(tokens, use_cache=False).logits[:, :-1].float()
        return nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")

    def weights(self) -> Weights:
        """The parameters, each once: the embedding may be the last layer's weights, too."""
        named = dict(self.net.named_parameters())
        return {name: value.detach().cpu().contiguous() for name, value in named.items()}

    def load(self, weights: Weights) -> None:
        with torch.no_grad():
            for name, parameter in self.net.named_parameters():
                parameter.copy_(weights[name])


def _check_decoding(
    num_beams: int, do_sample: bool, temperature: float, top_p: float, repetition_penalty: float, batch: int
) -> None:
    for name, value, least in (("num_beams", num_beams, 1), ("sampling_batch", batch, 1)):
        if value < least:
            raise UserError(f"model.{name} is {least} or more; got {value}")
    if not (temperature > 0 and 0 < top_p <= 1 and repetition_penalty > 0):
        raise UserError(
            "model.temperature and model.repetition_penalty are above 0, and model.top_p lies in (0, 1]; got "
            f"{temperature}, {repetition_penalty} and {top_p}"
        )
    if do_sample and num_beams != 1:
        raise UserError(f"tokens are drawn or searched for by beams: give model.num_beams=1, not {num_beams}")
    if not do_sample and (temperature != 1 or top_p != 1):
        raise UserError(
            "model.temperature and model.top_p shape what tokens are drawn from, and a search draws none: give "
            "model.do_sample=true model.num_beams=1"
        )
