"""How far generated points spread about the real mean, over points and over chains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.models.covariance import mixture_moments
from collapse_lab.models.gaussian import Gaussian
from collapse_lab.probes import replicas
from collapse_lab.probes.laws import Laws, expected, gaussian_laws
from collapse_lab.probes.moments import KnownComponents
from collapse_lab.probes.process import Process
from collapse_lab.types import Estimate, Prospect, Subject


class Sampled:
    """Measure the variance of a generated point over all chains, E |x - μ₀|²/d.

    sampled_variance: The mean over replicas and their generated points x of |x - μ₀|²/d, where μ₀ is the real mean.
        The variance within a chain and that of the chains' means are both in it. Of Gaussians that are fitted by the
        unbiased estimator it grows as σ² (1 + n/M) after n fits, while nearly every chain loses its own variance.

    Where the mean and the variance of a chain of Gaussians have a closed form, its exact expectation follows as
    sampled_variance_theory.

    Args:
        truth: The data set, of which the components are known.
        process: How the generations follow on each other.

    Raises:
        UserError: The data set has no known distribution, or samples are not points.

    Source: Var(X^n) of arXiv:2305.17493, of the one-dimensional Gaussian; what generation g samples is X^{g+1} there.
    """

    version: ClassVar[int] = 1

    def __init__(self, truth: Any, process: Process) -> None:
        if not isinstance(truth, KnownComponents):
            raise UserError(
                f"probes=[sampled] compares with a known distribution of points, and {type(truth).__name__} has none; "
                "give dataset=normal or dataset=mixture"
            )
        self.truth, self.process = truth, process
        weights, means, covariances = truth.components()
        mean, covariance = mixture_moments(weights[None], means[None], covariances[None])
        self._mean, self._variances = mean[0].numpy(), covariance[0].diagonal().numpy()
        self._laws: Laws | None = None

    def check_run(self, prospect: Prospect) -> None:
        """Refuse samples that are not points."""
        if prospect.spec.modality != "points":
            raise UserError(f"probes=[sampled] needs points; these samples are of modality '{prospect.spec.modality}'")

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return `sampled_variance`, and its theory where it is known."""
        points = subject.generated.data.numpy()
        values = np.square(points - self._mean).mean((0, 2))
        if self._laws is None:
            self._laws = self._theory(subject.model)
        generation = int(getattr(subject.model, "generation", 0))
        return {"sampled_variance": replicas.mean(values)} | expected(self._laws, generation)

    def _theory(self, model: object) -> Laws:
        if not isinstance(model, Gaussian) or len(self.truth.components()[0]) != 1:
            return {}
        laws = gaussian_laws(self.process, self.truth.rows, model.estimator, self._variances, model.axes_apart)
        return {"sampled_variance": laws["variance"] + laws["mean_error"] / len(self._mean)} if laws else {}
