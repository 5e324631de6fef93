"""Mean and variance of fitted models beside the real ones: how far a chain has wandered and shrunk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.models.covariance import mixture_moments
from collapse_lab.models.gaussian import Gaussian
from collapse_lab.probes import replicas
from collapse_lab.probes.laws import QUANTILES, Laws, expected, gaussian_laws
from collapse_lab.probes.process import Process
from collapse_lab.types import Estimate, Prospect, Subject


@runtime_checkable
class HasMoments(Protocol):
    """Describe a family of points whose mean and covariance are known."""

    generation: Tensor

    def moments(self) -> tuple[Tensor, Tensor]:
        """Return means (R, d) and covariances (R, d, d)."""
        ...


@runtime_checkable
class KnownComponents(Protocol):
    """Describe a data set that is a mixture of Gaussians, or a single Gaussian."""

    replicas: int
    rows: int

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return weights (k,), means (k, d) and covariances (k, d, d)."""
        ...


class Moments:
    """Compare mean μ and covariance Σ of the model with μ₀ and Σ₀ of the real distribution, over the replicas.

    variance: The mean of Tr Σ/d; its 5 %, 50 % and 95 % quantiles are variance_q05, variance_median and variance_q95.
        The mean depends on ever fewer replicas: that of an unbiased chain stays while nearly every replica collapses.
    log_variance: The mean of (log det Σ)/d, the path that nearly every replica takes.
    mean_error: The mean of |μ - μ₀|².
    wasserstein_risk: The mean of |μ - μ₀|² + Tr(Σ + Σ₀ - 2 (Σ₀^½ Σ Σ₀^½)^½); in one dimension (μ - μ₀)² + (σ - σ₀)².

    Where a closed form of a Gaussian chain is known for this run, its exact expectations follow with the suffix
    `_theory`.

    Args:
        truth: The data set, of which the components are known.
        process: How the generations follow on each other.

    Raises:
        UserError: The data set has no known distribution, or the model has no moments.
    """

    version: ClassVar[int] = 1

    def __init__(self, truth: Any, process: Process) -> None:
        if not isinstance(truth, KnownComponents):
            raise UserError(
                f"probes=[moments] compares with a known distribution of points, and {type(truth).__name__} has none; "
                "give dataset=normal or dataset=mixture"
            )
        self.truth, self.process = truth, process
        weights, means, covariances = truth.components()
        mean, covariance = mixture_moments(weights[None], means[None], covariances[None])
        self._mean, self._covariance = mean[0], covariance[0]
        self._laws: Laws | None = None

    def check_run(self, prospect: Prospect) -> None:
        """Refuse a family without moments."""
        _with_moments(prospect.model)

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return the moments over the replicas, and their theory where it is known."""
        model = _with_moments(subject.model)
        means, covariances = model.moments()
        if means.shape[1] == 1:
            values = self._of_one_dimension(means[:, 0].numpy(), covariances[:, 0, 0].numpy())
        else:
            values = self._of_several(means, covariances)
        quantiles = replicas.quantiles(values["variance"], tuple(QUANTILES.values()))
        estimates = {name: replicas.mean(of_replicas) for name, of_replicas in values.items()}
        estimates |= dict(zip(QUANTILES, quantiles, strict=True))
        return estimates | expected(self._theory(model), int(model.generation))

    def _of_one_dimension(self, mean: np.ndarray, variance: np.ndarray) -> dict[str, np.ndarray]:
        error = np.square(mean - float(self._mean[0]))
        with np.errstate(divide="ignore"):  # because a chain that has become a point has the variance 0
            log_variance = np.log(variance)
        risk = error + np.square(np.sqrt(variance) - math.sqrt(float(self._covariance[0, 0])))
        return {"variance": variance, "log_variance": log_variance, "mean_error": error, "wasserstein_risk": risk}

    def _of_several(self, means: Tensor, covariances: Tensor) -> dict[str, np.ndarray]:
        d = means.shape[1]
        trace = covariances.diagonal(dim1=-2, dim2=-1).sum(-1)
        error = (means - self._mean).square().sum(1)
        root = torch.linalg.cholesky(self._covariance)
        overlap = torch.linalg.eigvalsh(root.T @ covariances @ root).clamp(min=0).sqrt().sum(-1)
        risk = error + trace + self._covariance.trace() - 2 * overlap
        sign, logs = torch.linalg.slogdet(covariances)
        values = {
            "variance": trace / d,
            "log_variance": torch.where(sign > 0, logs, -torch.inf) / d,
            "mean_error": error,
            "wasserstein_risk": risk,
        }
        return {name: value.numpy() for name, value in values.items()}

    def _theory(self, model: object) -> Laws:
        if self._laws is None:
            known = isinstance(model, Gaussian) and len(self.truth.components()[0]) == 1
            self._laws = self._of_gaussian(model) if known and isinstance(model, Gaussian) else {}
        return self._laws

    def _of_gaussian(self, model: Gaussian) -> Laws:
        variances = self._covariance.diagonal().numpy()
        return gaussian_laws(self.process, self.truth.rows, model.estimator, variances, model.axes_apart)


def _with_moments(model: object) -> HasMoments:
    if not isinstance(model, HasMoments):
        raise UserError(f"probes=[moments] needs a family of points; {type(model).__name__} has no moments")
    return model
