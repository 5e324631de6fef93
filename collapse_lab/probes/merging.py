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

    For each image, p_c is the share of class c among the k held-out real images whose posterior means under the encoder
    of generation 0 are nearest.

    class_information: The mean over generated images of Σ_c p_c log(p_c/p̄_c) in nats, p̄ being the mean of p over the
        images. It says how much an image tells about its class. Range [0, log C]. It falls as classes merge, and is 0
        where every image could be of every class and where all images look alike.
    neighbour_entropy: The mean over generated images of -Σ_c p_c log p_c in nats. Range [0, log C], 0 where all
        neighbours are of one class. It rises while images come to lie between classes, and falls again if all of them
        end in one place.
    class_information_real, neighbour_entropy_real: The same of the real images, each without itself.

    Intervals are over images.

    Args:
        images: Generated images, and real ones, that are looked at.
        neighbours: k.
        bootstrap: Resamplings of the images behind the intervals; below 2 there are none.

    Raises:
        UserError: A model has no encoder, the data set has no classes, or there are too few real images.

    Source: ours, for the digits of arXiv:2305.17493 that merge by generations 10 and 20. The information is the
        logarithm of the inception score (arXiv:1606.03498) with neighbours in the place of a classifier.
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
        """Return `class_information` and `neighbour_entropy`, of generated and of real images."""
        encoder, real = _encoder(subject.first()), subject.real
        places, labels = encoder.posterior_means(real).double(), torch.from_numpy(real.labels)
        generated = encoder.posterior_means(head(subject.generated, self.images)).double()
        own = torch.cdist(places[: self.images], places)
        own.fill_diagonal_(torch.inf)
        out: dict[str, Estimate] = {}
        for end, distances in (("", torch.cdist(generated, places)), ("_real", own)):
            shares = self.shares(distances, labels)
            entropies = -torch.special.xlogy(shares, shares).sum(1)
            information = -entropies - torch.special.xlogy(shares, shares.mean(0)).sum(1)
            out[f"class_information{end}"] = self._mean(information, rng)
            out[f"neighbour_entropy{end}"] = self._mean(entropies, rng)
        return out

    def shares(self, distances: Tensor, labels: Tensor) -> Tensor:
        """Return p, the shares of the classes among the nearest real images, (n, C).

        Args:
            distances: From n images to m real ones, (n, m).
            labels: Of the real ones, (m,), 0 or more.
        """
        nearest = labels[distances.topk(self.neighbours, largest=False).indices]
        shares: Tensor = torch.nn.functional.one_hot(nearest, int(labels.max()) + 1).double().mean(1)
        return shares

    def _mean(self, values: Tensor, rng: np.random.Generator) -> Estimate:
        return around(float(values.mean()), [values], rng, self.bootstrap, low=0.0)


def _encoder(model: object) -> Encodes:
    if not isinstance(model, Encodes):
        raise UserError(
            f"probes=[merging] needs a model with an encoder; {type(model).__name__} has none: leave it out of "
            "probes=[…]"
        )
    return model
