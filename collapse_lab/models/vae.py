"""A convolutional variational autoencoder of images, drawn from its prior."""

from __future__ import annotations

from typing import ClassVar

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor, nn

from collapse_lab.engine import fitting
from collapse_lab.engine.seeds import Seeds
from collapse_lab.errors import Diverged, UserError
from collapse_lab.images import as_float, as_uint8
from collapse_lab.nn.spans import spans
from collapse_lab.types import Budget, Conditions, Progress, Samples, Spec, Weights


class VAE(pl.LightningModule):
    """min E_q(z|x) [-log p(x|z)] + beta KL(q(z|x) || N(0, I)), q(z|x) = N(mu(x), diag sigma^2(x)).

    log p(x|z) = sum over pixels of x log y + (1 - x) log(1 - y), y the decoder's mean and x in [0, 1] (arXiv:1312.6114,
    eq. 3 and appendix C.1; grey levels between 0 and 1 enter as they are, as in 2305.17493). A sample is the decoder's
    mean for z ~ N(0, I); conditions are handed on and have no part in it.

    channels: of the first convolution; the second has twice as many, and each halves the image.
    latent: dimensions of z.
    beta: weight of the KL term; 1 is the evidence lower bound.
    weight_decay: of Adam, as a share of the weights in the gradient of the loss summed over a batch.

    Raises:
        UserError: no images, sizes that 4 does not divide, ranges.
    """

    version: ClassVar[int] = 1
    sampling_only: ClassVar[frozenset[str]] = frozenset({"sampling_batch"})

    def __init__(
        self,
        spec: Spec,
        *,
        channels: int = 64,
        latent: int = 20,
        beta: float = 1.0,
        lr: float = 1e-3,
        weight_decay: float = 1e-5,
        sampling_batch: int = 64,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("channels", channels, 1),
            ("latent", latent, 1),
            ("sampling_batch", sampling_batch, 1),
        ):
            if value < least:
                raise UserError(f"model.{name} is {least} or more; got {value}")
        for name, share in (("beta", beta), ("weight_decay", weight_decay)):
            if not share >= 0:
                raise UserError(f"model.{name} is 0 or more; got {share}")
        if not lr > 0:
            raise UserError(f"model.lr is more than 0; got {lr}")
        _check_images(spec)
        self.spec, self.latent, self.beta, self.sampling_batch = spec, latent, beta, sampling_batch
        self.lr, self.weight_decay = lr, weight_decay
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
        self.to(memory_format=torch.channels_last)  # a fifth faster on a CPU

    def encode(self, x: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n latent"], Float[Tensor, "n latent"]]:
        """Mean and log sigma^2 of q(z|x)."""
        # Flattened with the channels last, as they lie in memory
        mean, log_variance = self.posterior(self.encoder(x).permute(0, 2, 3, 1).flatten(1)).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, z: Float[Tensor, "n latent"]) -> Float[Tensor, "n c h w"]:
        """Logits of the pixels."""
        logits: Tensor = self.decoder(self.expand(z).unflatten(1, self._code).permute(0, 3, 1, 2))
        return logits

    def terms(
        self, x: Float[Tensor, "n c h w"], noise: Float[Tensor, "n latent"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """-log p(x|z) at z = mu + sigma noise, and KL(q(z|x) || N(0, I)) = sum (mu^2 + sigma^2 - 1 - log sigma^2) / 2.

        In nats per image.
        """
        mean, log_variance = self.encode(x)
        logits = self.decode(mean + (log_variance / 2).exp() * noise)
        error = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
        return error.flatten(1).sum(1), (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2

    def fit(self, data: Samples, budget: Budget, seeds: Seeds, progress: Progress) -> None:
        self._rows, self._batch = data.data, budget.batch_size
        self._noise = seeds.child("noise").torch()
        fitting.fit(self, fitting.RandomRows(len(data), budget, seeds), budget, progress)
        del self._rows  # module and trainer refer to each other, and would keep the rows beyond the fit

    def transfer_batch_to_device(self, batch: Tensor, device: torch.device, dataloader_idx: int) -> Tensor:
        """Row numbers stay on the CPU, where the rows are."""
        return batch

    def training_step(self, rows: Tensor) -> Tensor:
        noise = torch.randn(len(rows), self.latent, generator=self._noise)
        error, divergence = self.terms(self._pixels(self._rows[rows]), noise.to(self.device))
        return (error + self.beta * divergence).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        # A mean over the batch is of a size that does not depend on it. Adam's steps are those of the sum, where
        # decay and epsilon are divided by the same number
        return torch.optim.Adam(
            self.parameters(),
            self.lr,
            weight_decay=self.weight_decay / self._batch,
            eps=1e-8 / self._batch,
            fused=fitting.fused(self),
        )

    @torch.no_grad()
    def sample(self, conditions: Conditions, seeds: Seeds, progress: Progress) -> Samples:
        """One image for each condition, quantised to uint8."""
        self.eval()
        n = len(conditions)
        z = torch.randn(n, self.latent, generator=seeds.torch())
        # Filled batch by batch: a training set that is seen once has millions of rows, four times as large as floats
        images = torch.empty(n, *self.spec.shape, dtype=torch.uint8)
        for span in spans(n, self.sampling_batch):
            means = self.decode(z[span].to(self.device)).sigmoid()
            if not means.isfinite().all():
                raise Diverged(f"{int((~means.isfinite()).flatten(1).any(1).sum())} samples are not finite")
            images[span] = as_uint8(2 * means - 1).cpu()
            progress.advance(len(means))
        return Samples(images, conditions.labels, conditions.captions)

    def sampling_steps(self, n: int) -> int:
        """How often `sample` advances the progress for n conditions."""
        return n

    @torch.no_grad()
    def posterior_means(self, samples: Samples) -> Float[Tensor, "n latent"]:
        """mu(x) of each image."""
        self.eval()
        parts = spans(len(samples), self.sampling_batch)
        return torch.cat([self.encode(self._pixels(samples.data[span]))[0].cpu() for span in parts])

    @torch.no_grad()
    def elbos(self, samples: Samples, noise: Float[Tensor, "n latent"]) -> Float[Tensor, " n"]:
        """log p(x|z) - KL(q(z|x) || N(0, I)) of each image, at the z that the noise gives; in nats."""
        self.eval()
        parts = [
            self.terms(self._pixels(samples.data[s]), noise[s].to(self.device))
            for s in spans(len(samples), self.sampling_batch)
        ]
        return torch.cat([-(error + divergence).cpu() for error, divergence in parts])

    def weights(self) -> Weights:
        return {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}

    def load(self, weights: Weights) -> None:
        self.load_state_dict(dict(weights))

    def _pixels(self, data: Tensor) -> Tensor:
        """Images as they are kept, in [0, 1] on the model's device."""
        return ((as_float(data.to(self.device)) + 1) / 2).contiguous(memory_format=torch.channels_last)


def _check_images(spec: Spec) -> None:
    if spec.modality != "image" or len(spec.shape) != 3:
        raise UserError(f"model=vae draws images; this data set holds {spec.modality} of shape {spec.shape}")
    if spec.shape[1] % 4 or spec.shape[2] % 4:
        raise UserError(
            f"model=vae halves images twice, so 4 must divide their sides; got {spec.shape[1]}x{spec.shape[2]}: give "
            f"dataset.image_size={max(4, round(spec.shape[1] / 4) * 4)}"
        )
