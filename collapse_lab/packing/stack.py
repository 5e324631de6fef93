"""Denoising models of one architecture as one program: their parameters stacked, every call mapped over them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from collapse_lab.engine import fitting
from collapse_lab.errors import Diverged
from collapse_lab.models.diffusion import Diffusion
from collapse_lab.models.guided import GuidedDiffusion
from collapse_lab.nn.samplers import Denoiser
from collapse_lab.nn.spans import spans
from collapse_lab.packing.everyone import Everyone
from collapse_lab.types import FitRequest, Progress, SampleRequest, Samples


class StackedModels(nn.Module):
    """K models as one module whose every parameter has K as its first axis.

    The first of them lends its code; what it holds itself is not touched.
    """

    def __init__(self, members: Sequence[Diffusion]) -> None:
        super().__init__()
        stacked, _ = stack_module_state(list(members))
        self.names = list(stacked)
        self.stacked = nn.ParameterList(stacked.values())
        self._code = (_Methods(members[0]),)  # in a tuple, so that its parameters are not taken for this module's

    def forward(self, method: str, *inputs: Tensor) -> Tensor:
        """A method of every member, called with its own parameters and its own entry of the inputs (K, …).

        An input without axes is the same for all.
        """

        def one(parameters: dict[str, Tensor], *own: Tensor) -> Tensor:
            found: Tensor = functional_call(self._code[0], parameters, (method, *own), tie_weights=False)
            return found

        parameters = {f"owner.{name}": value for name, value in zip(self.names, self.stacked, strict=True)}
        mapped = vmap(one, in_dims=(0, *(0 if each.ndim else None for each in inputs)))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "There is a performance drop because we have not yet implemented")
            result: Tensor = mapped(parameters, *inputs)
        return result

    def state_of(self, member: int) -> dict[str, Tensor]:
        """The parameters of one member."""
        return {name: value.detach()[member] for name, value in zip(self.names, self.stacked, strict=True)}


class PackedFit(pl.LightningModule):
    """The fits of K models: each draws from its own streams, and the sum of their losses has independent gradients.

    AdamW and the moving average work element by element, so they act on the stacked parameters as on each alone;
    gradients are clipped to the norm of each member.

    diverged: what ended a member's fit; the others go on.
    """

    def __init__(self, fits: Sequence[FitRequest], models: Sequence[Diffusion]) -> None:
        super().__init__()
        for fit, model in zip(fits, models, strict=True):
            model.begin(fit.data, fit.budget, fit.seeds)
        self._models = tuple(models)
        self.stack = StackedModels(models)
        self._average = models[0].optimisation.average(self.stack.parameters())
        self.diverged: list[Diverged | None] = [None] * len(models)

    def on_fit_start(self) -> None:
        self._average.to(self.device)

    def transfer_batch_to_device(self, batch: list[Tensor], device: torch.device, dataloader_idx: int) -> list[Tensor]:
        """Row numbers stay on the CPU, where the rows are."""
        return batch

    def training_step(self, rows: list[Tensor]) -> dict[str, Tensor]:
        drawn = [model.draw(own) for model, own in zip(self._models, rows, strict=True)]
        x, condition, t, noise = (torch.stack(parts).to(self.device) for parts in zip(*drawn, strict=True))
        noising, rows_of_all = self._models[0].noising, (x.flatten(0, 1), noise.flatten(0, 1), t.flatten())
        noisy = noising.add_noise(*rows_of_all).view_as(x)
        target = noising.target(*rows_of_all).view_as(x)
        predicted = self.stack("predict", noisy, t, self.stack("embed", condition))
        losses = vmap(self._models[0].norm)(predicted, target)
        return {"loss": losses.sum(), "losses": losses.detach()}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """`torch.nn.utils.clip_grad_norm_` for each member."""
        if gradient_clip_val is None:
            return
        gradients = [each.grad for each in self.stack.stacked if each.grad is not None]
        norms = torch.stack([torch.linalg.vector_norm(each.flatten(1), dim=1) for each in gradients])
        shrink = (gradient_clip_val / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
        for each in gradients:
            each.mul_(shrink.view(-1, *[1] * (each.ndim - 1)))

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        self._average.step(self.stack.parameters())

    def configure_optimizers(self) -> Any:
        return self._models[0].optimiser_of(self.stack.parameters(), fitting.fused(self))

    def hand_back(self) -> None:
        """Gives each model that has not diverged the average of its weights."""
        self._average.copy_to(self.stack.parameters())
        for number, model in enumerate(self._models):
            if self.diverged[number] is None:
                model.load(self.stack.state_of(number))


def fit_together(fits: Sequence[FitRequest]) -> list[Diverged | None]:
    """Fits what is asked for, all alike; None for each that went well.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    packed = PackedFit(fits, [_diffusion(fit) for fit in fits])
    rows = [fitting.RandomRows(len(fit.data), fit.budget, fit.seeds) for fit in fits]

    def watch(progress: Progress) -> fitting.Watch:
        return _WatchEach(progress, packed)

    try:
        fitting.fit(packed, _Side(rows), fits[0].budget, Everyone([fit.progress for fit in fits]), watch)
    except Diverged:  # the last one that had not
        return packed.diverged
    packed.hand_back()
    return packed.diverged


@torch.no_grad()
def sample_together(asked: Sequence[SampleRequest]) -> list[Samples | Diverged]:
    """Samples what is asked for, all alike."""
    models = [_diffusion(each).eval() for each in asked]
    first, n = models[0], len(asked[0].conditions)
    stack, progress = StackedModels(models), Everyone([each.progress for each in asked])
    generators = [each.seeds.torch() for each in asked]
    condition = torch.stack([model.condition(each.conditions) for model, each in zip(models, asked, strict=True)])
    noise = torch.stack([torch.randn(n, *first.spec.shape, generator=generator) for generator in generators])
    images = [
        first.sampler.run(
            _denoiser(stack, models, condition[:, span].to(first.device)),
            noise[:, span].to(first.device),
            first.noising.config,
            generators,
            lambda rows=span.stop - span.start: progress.advance(rows),  # type: ignore[misc]
        ).cpu()
        for span in spans(n, first.sampling_batch)
    ]
    return [
        _published(model, own, each) for model, own, each in zip(models, torch.cat(images, dim=1), asked, strict=True)
    ]


def _denoiser(stack: StackedModels, models: Sequence[Diffusion], condition: Tensor) -> Denoiser:
    """As the denoiser of each; where one is guided all are, some of them by 1."""
    scales = [model.guidance_scale if isinstance(model, GuidedDiffusion) else 1.0 for model in models]
    if all(scale == 1 for scale in scales):
        embedded = stack("embed", condition)
        return lambda x, t: stack("predict", x, t, embedded)
    both, scale = stack("embed_both", condition), torch.tensor(scales, device=condition.device)
    return lambda x, t: stack("steer", x, t, both, scale)


def _published(model: Diffusion, images: Tensor, asked: SampleRequest) -> Samples | Diverged:
    try:
        return model.published(images, asked.conditions)
    except Diverged as diverged:
        return diverged


def _diffusion(asked: FitRequest | SampleRequest) -> Diffusion:
    assert isinstance(asked.model, Diffusion)
    return asked.model


class _Methods(nn.Module):
    """Any method of a module as the one that `functional_call` calls."""

    def __init__(self, owner: nn.Module) -> None:
        super().__init__()
        self.owner = owner

    def forward(self, method: str, *inputs: Tensor) -> Any:
        return getattr(self.owner, method)(*inputs)


class _Side:
    """The batches of several fits side by side."""

    def __init__(self, rows: Sequence[fitting.RandomRows]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows[0])

    def __iter__(self) -> Iterator[list[Tensor]]:
        return (list(each) for each in zip(*self._rows, strict=True))


class _WatchEach(fitting.Watch):
    """Marks the members whose loss is no sound number, and stops once none is left."""

    def __init__(self, progress: Progress, packed: PackedFit) -> None:
        super().__init__(progress)
        self._diverged = packed.diverged

    def look(self, outputs: Any, step: int) -> None:
        for member, loss in enumerate(outputs["losses"].tolist()):
            self._diverged[member] = self._diverged[member] or self.judge(loss, step)
        if all(self._diverged):
            raise Diverged(f"all {len(self._diverged)} members had by step {step}")
