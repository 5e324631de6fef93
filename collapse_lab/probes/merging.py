"""How clearly generated images belong to one class, in the latent space of generation 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.intervals import around
from collapse_lab.probes.latent_spread import Encodes, head
from collapse_lab.types import Count, Estimate, Prospect, Resamplings, Subject


class Merging:
    """Measure how mixed the classes of the real images are that lie around a generated one.

    neighbour_entropy: The mean over generated images of -Σ_c p_c log p_c in nats, p_c being the share of class c among
        the k held-out real images whose posterior means under the encoder of generation 0 are nearest. Range
        [0, log C], 0 where all neighbours are of one class. It rises as classes merge.
    neighbour_entropy_real: The same of the real images, each without itself: what to compare with.

    Intervals are over images.

    Args:
        images: Generated images, and real ones, that are looked at.
        neighbours: k.
        bootstrap: Resamplings of the images behind the intervals; below 2 there are none.

    Raises:
        UserError: A model has no encoder, the data set has no classes, or there are too few real images.

    Source: ours, for the digits of arXiv:2305.17493 that merge by generations 10 and 20.
    """

    version: ClassVar[int] = 1

    def __init__(self, images: Count = 1000, neighbours: Count = 10, bootstrap: Resamplings = 200) -> None:
        self.images, self.neighbours, self.bootstrap = images, neighbours, bootstrap

    def check_run(self, prospect: Prospect) -> None:
        """Refuse a family without an encoder, rows without classes, and fewer real rows than neighbours."""
        _encoder(prospect.model)
        if not prospect.spec.classes:
            raise UserError(
                "probes=[merging] reads the classes of real images, and this data set has none; give dataset=mnist"
            )
        if prospect.real <= self.neighbours:
            raise UserError(
                f"probes=[merging] needs more held-out images than neighbours={self.neighbours}; there are "
                f"{prospect.real}: lower probes.merging.neighbours, or raise dataset.reference_fraction"
            )

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return `neighbour_entropy` and `neighbour_entropy_real`."""
        encoder, real = _encoder(subject.first()), subject.real
        places, labels = encoder.posterior_means(real).double(), torch.from_numpy(real.labels)
        generated = encoder.posterior_means(head(subject.generated, self.images)).double()
        own = torch.cdist(places[: self.images], places)
        own.fill_diagonal_(torch.inf)
        return {
            "neighbour_entropy": self._mean(self.entropies(torch.cdist(generated, places), labels), rng),
            "neighbour_entropy_real": self._mean(self.entropies(own, labels), rng),
        }

    def entropies(self, distances: Tensor, labels: Tensor) -> Tensor:
        """Return the entropy of the classes of the nearest real images, (n,).

        Args:
            distances: From n images to m real ones, (n, m).
            labels: Of the real ones, (m,), 0 or more.
        """
        nearest = labels[distances.topk(self.neighbours, largest=False).indices]
        shares = torch.nn.functional.one_hot(nearest, int(labels.max()) + 1).double().mean(1)
        entropies: Tensor = -torch.special.xlogy(shares, shares).sum(1)
        return entropies

    def _mean(self, values: Tensor, rng: np.random.Generator) -> Estimate:
        return around(float(values.mean()), [values], rng, self.bootstrap, low=0.0)


def _encoder(model: object) -> Encodes:
    if not isinstance(model, Encodes):
        raise UserError(
            f"probes=[merging] needs a model with an encoder; {type(model).__name__} has none: leave it out of "
            "probes=[…]"
        )
    return model
