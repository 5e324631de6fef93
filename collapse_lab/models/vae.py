"""A convolutional variational autoencoder of images, which samples from its prior."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from collapse_lab.engine import lightning
from collapse_lab.engine.ahead import Drawing
from collapse_lab.engine.fitting import RandomRows
from collapse_lab.errors import Diverged, UserError
from collapse_lab.images import as_float, as_uint8
from collapse_lab.nn.batches import Halving, given_or_usual
from collapse_lab.nn.exporting import export_prior
from collapse_lab.nn.optimisation import FINETUNING_ONLY, Optimisation
from collapse_lab.nn.spans import spans
from collapse_lab.seeds import Seeds
from collapse_lab.types import (
    AUTO,
    Allocate,
    Batch,
    Budget,
    Checkpointing,
    Conditions,
    Exported,
    NonNegative,
    Progress,
    Rows,
    Samples,
    Spec,
    Weights,
    Width,
)


class VAE(Drawing):
    """min E_q(z|x) [-log p(x|z)] + beta KL(q(z|x) || N(0, I)), q(z|x) = N(mu(x), diag sigma^2(x)).

    log p(x|z) = sum over pixels of x log y + (1 - x) log(1 - y), y the decoder's mean and x in [0, 1] (arXiv:1312.6114,
    eq. 3 and appendix C.1; grey levels between 0 and 1 enter as they are, as in 2305.17493). A sample is the decoder's
    mean for z ~ N(0, I). Samples carry the conditions that were requested, and do not depend on them.

    Args:
        spec: The data set, of images.
        channels: The channels of the first convolution. The second has twice as many, and each halves the image.
        latent: The number of dimensions of z.
        beta: The weight of the KL term; 1 is the evidence lower bound.
        optimisation: The settings of Adam. `weight_decay` times the weights is added to the gradient of the loss summed
            over a batch. The family keeps no moving average.
        sampling_batch: How many images are sampled at a time; `auto` is 64 on a CPU, and as many as the memory holds on
            a GPU.

    Raises:
        UserError: the data set has no images, or images whose sides 4 does not divide; `optimisation` has a moving
            average.
    """

    version: ClassVar[int] = 1
    sampling_only: ClassVar[frozenset[str]] = frozenset({"sampling_batch"})
    unsigned: ClassVar[frozenset[str]] = frozenset({"sampling_batch"})
    usual_batch: ClassVar[int] = 64
    finetuning_only: ClassVar[frozenset[str]] = FINETUNING_ONLY
    gathers: ClassVar[bool] = True
    allocates: ClassVar[bool] = True
    resumes: ClassVar[bool] = True
    divides: ClassVar[bool] = True
    weighs: ClassVar[bool] = True

    def __init__(
        self,
        spec: Spec,
        *,
        channels: Width = 64,
        latent: Width = 20,
        beta: NonNegative = 1.0,
        optimisation: Optimisation = Optimisation(lr=1e-3, lr_schedule="constant", weight_decay=1e-5, warmup=0.0),
        sampling_batch: Batch = AUTO,
    ) -> None:
        super().__init__()
        optimisation.refuse_average("vae")
        optimisation.refuse_kept("vae")
        _check_images(spec)
        self.spec, self.latent, self.beta, self.sampling_batch = spec, latent, beta, sampling_batch
        self.optimisation = optimisation
        colours, height, width = spec.shape
        self._code = (height // 4, width // 4, 2 * channels)
        size = height // 4 * (width // 4) * 2 * channels
        self.encoder = nn.Sequential(
            nn.Conv2d(colours, channels, 4, 2, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, 2 * channels, 4, 2, 1),
            nn.ReLU(inplace=True),
        )
        self.posterior = nn.Linear(size, 2 * latent)
        self.expand = nn.Linear(latent, size)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(2 * channels, channels, 4, 2, 1),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(channels, colours, 4, 2, 1),
        )
        self.to(memory_format=torch.channels_last)  # because it is a fifth faster on a CPU

    def encode(self, x: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n latent"], Float[Tensor, "n latent"]]:
        """Return the mean and log sigma^2 of q(z|x), each (n, latent), for pixels x in [0, 1]."""
        # The channels are last in memory, so flatten them last
        mean, log_variance = self.posterior(self.encoder(x).permute(0, 2, 3, 1).flatten(1)).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, z: Float[Tensor, "n latent"]) -> Float[Tensor, "n c h w"]:
        """Return the logits of the pixels."""
        logits: Tensor = self.decoder(self.expand(z).unflatten(1, self._code).permute(0, 3, 1, 2))
        return logits

    def terms(
        self, x: Float[Tensor, "n c h w"], noise: Float[Tensor, "n latent"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Return -log p(x|z) at z = mu + sigma noise, and KL(q(z|x) || N(0, I)).

        KL(q(z|x) || N(0, I)) = sum (mu^2 + sigma^2 - 1 - log sigma^2) / 2.

        Args:
            x: Pixels in [0, 1].
            noise: Standard normal noise.

        Returns:
            Both terms (n,), in nats per image.
        """
        mean, log_variance = self.encode(x)
        logits = self.decode(mean + (log_variance / 2).exp() * noise)
        error = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
        return error.flatten(1).sum(1), (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2

    def fit(
        self,
        data: Samples[Rows],
        budget: Budget,
        seeds: Seeds,
        progress: Progress,
        checkpoint: Checkpointing | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        """Train the encoder and the decoder.

        Where `weights` (n,) are given, rows are drawn by them (`RandomRows`). All else is as in `GenerativeModel.fit`.
        """
        self._rows, self._budget = data.data, budget
        self._noise = seeds.child("noise").torch()
        rows = RandomRows(len(data), budget, seeds, weights)
        lightning.fit(self, rows, budget, progress, checkpoint=checkpoint)
        del self._rows  # because the model outlives the fit and would keep the rows

    def drawing_streams(self) -> dict[str, torch.Generator]:
        """Return the generator of noise."""
        return {"noise": self._noise}

    def training_step(self, rows: Tensor) -> Tensor:
        """Return the loss of the images with these numbers."""
        x, noise = self.drawn(rows)
        error, divergence = self.terms(x.contiguous(memory_format=torch.channels_last), noise)
        return (error + self.beta * divergence).mean()

    def draw(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pixels of the rows in [0, 1], (n, c, h, w), and noise (n, latent), both on the CPU."""
        return _unit(self._rows[rows]), torch.randn(len(rows), self.latent, generator=self._noise)

    def configure_optimizers(self) -> Any:
        """Return Adam in the form that Lightning takes."""
        # The loss is the mean over a batch, and Adam's steps should be those of the sum. Adam does not depend on the
        # scale of the gradient except through decay and epsilon, so divide both by the batch size
        adam = torch.optim.Adam(
            self.parameters(),
            self.optimisation.rate(self._budget),
            betas=self.optimisation.betas_or((0.9, 0.999)),
            weight_decay=self.optimisation.weight_decay / self._budget.batch_size,
            eps=1e-8 / self._budget.batch_size,
            fused=lightning.fused(self),
        )
        return self.optimisation.scheduled(adam, self._budget)

    @torch.no_grad()
    def sample(
        self, conditions: Conditions, seeds: Seeds, progress: Progress, allocate: Allocate = torch.empty
    ) -> Samples:
        """Return one image for each condition, quantised to uint8."""
        self.eval()
        n = len(conditions)
        z = torch.randn(n, self.latent, generator=seeds.torch())
        # A training set whose rows are seen once has millions of rows, and floats take four times the memory of bytes,
        # so fill the bytes batch by batch
        images = allocate((n, *self.spec.shape), dtype=torch.uint8)
        halving = Halving(self.sampling_batch, self.usual_batch, self.device)
        for span in spans(n, halving.rows):
            means = halving.compute(span, lambda rows: self._means(z[rows]))
            if not means.isfinite().all():
                raise Diverged(f"{int((~means.isfinite()).flatten(1).any(1).sum())} samples are not finite")
            images[span] = as_uint8(2 * means - 1)
            progress.advance(len(means))
        return Samples(images, conditions.labels, conditions.captions)

    def _means(self, codes: Float[Tensor, "n latent"]) -> Float[Tensor, "n c h w"]:
        return self.decode(codes.to(self.device)).sigmoid().cpu()

    def sampling_steps(self, n: int) -> int:
        """Return how often `sample` advances the progress for n conditions."""
        return n

    @torch.no_grad()
    def posterior_means(self, samples: Samples[Rows]) -> Float[Tensor, "n latent"]:
        """Return mu(x) of each image, (n, latent)."""
        self.eval()
        batches = self._batches(len(samples))
        return torch.cat([self.encode(self._pixels(samples.data[span]))[0].cpu() for span in batches])

    @torch.no_grad()
    def elbos(self, samples: Samples[Rows], noise: Float[Tensor, "n latent"]) -> Float[Tensor, " n"]:
        """Return log p(x|z) - KL(q(z|x) || N(0, I)) of each image, at z = mu + sigma noise.

        Args:
            samples: n images.
            noise: Standard normal noise.

        Returns:
            The evidence lower bounds (n,), in nats per image.
        """
        self.eval()
        terms = [
            self.terms(self._pixels(samples.data[span]), noise[span].to(self.device))
            for span in self._batches(len(samples))
        ]
        return torch.cat([-(error + divergence).cpu() for error, divergence in terms])

    def _batches(self, n: int) -> list[slice]:
        return spans(n, given_or_usual(self.sampling_batch, self.usual_batch))

    def weights(self) -> Weights:
        """Return the parameters by name, on the CPU."""
        return {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}

    def load(self, weights: Weights) -> None:
        """Take over what `weights` returned."""
        self.load_state_dict(dict(weights))

    def export(self, folder: Path) -> Exported:
        """Write a pipeline of diffusers that samples from the prior, with its classes beside the weights."""
        return export_prior(folder, self.spec, self._code[2] // 2, self.latent, self.weights())

    def _pixels(self, data: Tensor) -> Tensor:
        """Return stored images as floats in [0, 1] on the model's device."""
        return _unit(data.to(self.device)).contiguous(memory_format=torch.channels_last)


def _unit(data: Tensor) -> Tensor:
    """Return stored images as floats in [0, 1]."""
    return (as_float(data) + 1) / 2


def _check_images(spec: Spec) -> None:
    if spec.modality != "image" or len(spec.shape) != 3:
        raise UserError(f"model=vae draws images; this data set holds {spec.modality} of shape {spec.shape}")
    if spec.shape[1] % 4 or spec.shape[2] % 4:
        raise UserError(
            f"model=vae halves images twice, so 4 must divide their sides; got {spec.shape[1]}x{spec.shape[2]}: give "
            f"dataset.image_size={max(4, round(spec.shape[1] / 4) * 4)}"
        )
