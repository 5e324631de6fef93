"""How much of the latent space of generation 0 a VAE still draws from, and how well it explains images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.intervals import around
from collapse_lab.types import Estimate, Prospect, Resamplings, Samples, Subject


@runtime_checkable
class Encodes(Protocol):
    """Describe a family with a Gaussian posterior q(z|x) over `latent` dimensions."""

    latent: int

    def posterior_means(self, samples: Samples) -> Tensor:
        """Return the mean of q(z|x) of each row, (n, latent)."""
        ...

    def elbos(self, samples: Samples, noise: Tensor) -> Tensor:
        """Return the evidence lower bound of each row, (n,), at the z that the noise (n, latent) gives."""
        ...


class LatentSpread:
    """Measure the spread of generated images under the encoder of generation 0, and evidence lower bounds.

    latent_spread: sqrt(mean (mu_ij - m)²), m the mean of all mu_ij: the standard deviation over images i and dimensions
        j of the posterior means of generated images under the encoder of generation 0. Range [0, inf), about 1 or less
        where the posterior matches its prior.
    elbo, elbo_generated: The mean over images of log p(x|z) - KL(q(z|x) || N(0, I)) with one z ~ q(z|x) each, of the
        model itself, on held-out real rows and on as many of its own; in nats per image (arXiv:1312.6114, eq. 3). Range
        (-inf, 0].

    Intervals are over images.

    Args:
        images: Generated images whose spread is measured, 2 or more.
        bootstrap: Resamplings of the images behind the intervals; below 2 there are none.

    Raises:
        UserError: A model has no encoder.

    Source: the notebook of arXiv:2305.17493, with 100 images.
    """

    version: ClassVar[int] = 1
    gathers: ClassVar[bool] = True

    def __init__(self, images: Annotated[int, Ge(2)] = 100, bootstrap: Resamplings = 200) -> None:
        self.images, self.bootstrap = images, bootstrap

    def check_run(self, prospect: Prospect) -> None:
        """Refuse a family without an encoder."""
        self._encoder(prospect.model)

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return `latent_spread`, `elbo` and `elbo_generated`."""
        first, model = self._encoder(subject.first()), self._encoder(subject.model)
        means = first.posterior_means(head(subject.generated, self.images)).double()
        return {
            "latent_spread": self.spread(means, rng),
            "elbo": self._bound(model, subject.real, rng),
            "elbo_generated": self._bound(model, head(subject.generated, len(subject.real)), rng),
        }

    def spread(self, means: Float[Tensor, "n latent"], rng: np.random.Generator) -> Estimate:
        """Return the standard deviation of all values of `means`, with its interval over rows."""
        squares = (means - means.mean()).square().mean(1)
        value = float(squares.mean().sqrt())
        # Because the deviation is a root, a row's part of it is its square times the root's slope at the mean square
        contributions = squares / (2 * value) if value > 0 else squares
        return around(value, [contributions], rng, self.bootstrap, low=0.0)

    def _bound(self, model: Encodes, samples: Samples, rng: np.random.Generator) -> Estimate:
        noise = rng.standard_normal((len(samples), model.latent), dtype=np.float32)
        bounds = model.elbos(samples, torch.from_numpy(noise))
        return around(float(bounds.mean()), [bounds], rng, self.bootstrap, high=0.0)

    @staticmethod
    def _encoder(model: object) -> Encodes:
        if not isinstance(model, Encodes):
            raise UserError(
                f"probes=[latent_spread] needs a model with an encoder; {type(model).__name__} has none: leave it out "
                "of probes=[…]"
            )
        return model


def head(samples: Samples, n: int) -> Samples:
    """Return the first n samples, or all of them if there are fewer."""
    return samples.take(np.arange(min(n, len(samples))))
