"""How much of the latent space of generation 0 a VAE still draws from, and how well it explains images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.intervals import around
from collapse_lab.types import Estimate, Samples, Subject


@runtime_checkable
class Encodes(Protocol):
    """A family with a Gaussian posterior q(z|x) over `latent` dimensions."""

    latent: int

    def posterior_means(self, samples: Samples) -> Tensor:
        """The mean of q(z|x) of each row, (n, latent)."""
        ...

    def elbos(self, samples: Samples, noise: Tensor) -> Tensor:
        """The evidence lower bound of each row, (n,), at the z that the noise (n, latent) gives."""
        ...


class LatentSpread:
    """latent_spread = sqrt(mean (mu_ij - m)^2), m the mean of all mu_ij: the standard deviation over images i and
    dimensions j of the posterior means of generated images under the encoder of generation 0.

    elbo, elbo_generated: mean over images of log p(x|z) - KL(q(z|x) || N(0, I)) with one z ~ q(z|x) each, of the model
        itself on held-out real rows and on as many of its own; in nats per image (arXiv:1312.6114, eq. 3).
    images: generated images that the spread is taken over. Intervals are over images.

    Range: spread [0, inf), about 1 or less where the posterior matches its prior; elbos (-inf, 0].
    Source: the notebook of arXiv:2305.17493, with 100 images.
    """

    version: ClassVar[int] = 1

    def __init__(self, images: int = 100, bootstrap: int = 200) -> None:
        if images < 2:
            raise UserError(f"probes.latent_spread.images is 2 or more; got {images}")
        self.images, self.bootstrap = images, bootstrap

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Mapping[str, Estimate]:
        first, model = self._encoder(subject.first()), self._encoder(subject.model)
        means = first.posterior_means(head(subject.generated, self.images)).double()
        return {
            "latent_spread": self.spread(means, rng),
            "elbo": self._bound(model, subject.real, rng),
            "elbo_generated": self._bound(model, head(subject.generated, len(subject.real)), rng),
        }

    def spread(self, means: Float[Tensor, "n latent"], rng: np.random.Generator) -> Estimate:
        """The standard deviation of all values, with its interval over rows."""
        squares = (means - means.mean()).square().mean(1)
        value = float(squares.mean().sqrt())
        # The slope of the root at the mean of the squares makes each row's part of the deviation from its square
        parts = squares / (2 * value) if value > 0 else squares
        return around(value, [parts], rng, self.bootstrap, low=0.0)

    def _bound(self, model: Encodes, samples: Samples, rng: np.random.Generator) -> Estimate:
        noise = rng.standard_normal((len(samples), model.latent), dtype=np.float32)
        bounds = model.elbos(samples, torch.from_numpy(noise))
        return around(float(bounds.mean()), [bounds], rng, self.bootstrap, high=0.0)

    @staticmethod
    def _encoder(model: object) -> Encodes:
        if not isinstance(model, Encodes):
            raise UserError(f"probes=[latent_spread] needs a model with an encoder; {type(model).__name__} has none")
        return model


def head(samples: Samples, n: int) -> Samples:
    """The first n samples, or all if there are fewer."""
    return samples.take(np.arange(min(n, len(samples))))
