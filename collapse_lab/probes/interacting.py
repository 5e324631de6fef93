"""How far interacting linear models are from the truth of each domain, beside their exact expectation."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch

from collapse_lab.datasets.linear_domains import LinearDomains
from collapse_lab.errors import UserError
from collapse_lab.mixing.interacting import Interacting
from collapse_lab.models.linear_regression import LinearRegression
from collapse_lab.probes import replicas
from collapse_lab.probes.linear_updates import LinearUpdates
from collapse_lab.probes.process import Process
from collapse_lab.theory.interacting import Moments, moments
from collapse_lab.theory.interacting_efficiency import best_common, ideal_excess, pooled_gram
from collapse_lab.types import Estimate, Prospect, Subject

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Exact:
    """Hold what the theory says of a run.

    Attributes:
        known: the moments of every generation.
        truths: θ of the private sources and of the public one, (K + 1, d).
        best: θ°, the coefficients of the least risk over all real rows, (d,).
        pooled: H, the Gram matrix of all real rows, (d, d).
        ideal: the excess risk of least squares on all real rows.
    """

    known: Moments
    truths: np.ndarray
    best: np.ndarray
    pooled: np.ndarray
    ideal: float

    def efficiency(self, mean: np.ndarray, covariance: np.ndarray) -> float:
        """Return the relative efficiency of a model of this mean (d,) and covariance (d, d)."""
        apart = mean - self.best
        return float(self.ideal / (apart @ self.pooled @ apart + np.trace(self.pooled @ covariance)))

    def model(self, generation: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean (d,) and the covariance (d, d) of one model."""
        d = self.truths.shape[1]
        own = slice(number * d, (number + 1) * d)
        mean: np.ndarray = self.known.maps[generation, own] @ self.truths.reshape(-1)
        return mean, self.known.covariance[generation, own, own]


class InteractingError:
    """Measure how far the coefficients θ̂ of linear models that learn from each other are from those of a domain.

    squared_error: The mean over replicas of |θ̂ - θ_s|², ≥ 0; s is the domain of the prompt set.
    excess_loss: The mean of (θ̂ - θ_s)ᵀS_s(θ̂ - θ_s), the test error at the domain's inputs without noise of labels.
    variance: The trace of the covariance of θ̂ over replicas. It is the same for all domains.
    relative_efficiency: The excess test error of least squares on all real rows of all members, as a share of the
        model's (`theory.interacting_efficiency`). It is there for the public domain alone.

    With `mixing.by=weights` their exact expectations follow with the suffix `_theory`.

    Args:
        truth: The data set, `LinearDomains`.
        process: How the generations follow on each other; its policy is `Interacting`.
        sets: The prompt sets, of `prompts.Inputs`.

    Raises:
        UserError: The data set has no known coefficients, or another policy mixes the rows.

    Source: arXiv:2505.21677, the linear model; `collapse_lab.theory.interacting` derives it.
    """

    version: ClassVar[int] = 1
    reads_samples: ClassVar[bool] = False

    def __init__(self, truth: Any, process: Process, sets: Mapping[str, Any]) -> None:
        if not isinstance(truth, LinearDomains) or not isinstance(process.mixing, Interacting):
            raise UserError(
                "probes=[interacting] compares with coefficients of domains under mixing=interacting; got "
                f"{type(truth).__name__} and {type(process.mixing).__name__}: give dataset=linear_domains "
                "mixing=interacting"
            )
        self.truth, self.process, self._mixing = truth, process, process.mixing
        self._domains = {name: self._domain(name, prompts) for name, prompts in sets.items()}
        self._noises: set[float] = set()
        self._made: set[str] = set()  # at which inputs the models make labels
        self._told = False

    def check_run(self, prospect: Prospect) -> None:
        """Refuse another family, and say once what the spectral radius is, or why it is not known."""
        model = self._linear(prospect.model)
        if self._told or self.process.generations == 0:
            return
        self._told = True
        self._tell(
            f"models make labels at inputs of their own (model.inputs={model.inputs})"
            if model.inputs != "given"
            else self._updates.unknown
        )

    def _tell(self, unknown: str) -> None:
        """Log the spectral radius, and why there is none or no theory."""
        if unknown:
            log.info("the spectral radius of an update is not known, because %s", unknown)
            return
        radii = self._updates.radii
        largest = f", the largest of {len(radii)} different updates" if len(radii) > 1 else ""
        rows = ", if all rows counted; mixing.by=rows draws some of them" if self._mixing.by == "rows" else ""
        log.info("the spectral radius of an update is %.4f%s%s", max(radii), largest, rows)
        if max(radii) > 1 + 1e-9:
            log.warning(
                "the spectral radius of an update is %.4f, above 1: coefficients diverge, by that factor in each "
                "generation; a lower mixing.alpha is more stable",
                max(radii),
            )
        if self._updates.inexact:
            log.info("there are no exact expectations (…_theory), because %s", self._updates.inexact)

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return the three numbers, and their theory where it is known."""
        model, domain = self._linear(subject.model), self._domains[subject.subset]
        truth, gram = self.truth.truths[domain], self._grams[domain]
        apart = model.coefficients - torch.from_numpy(truth)
        fits = model.coefficients.numpy()
        estimates = {
            "squared_error": replicas.mean(apart.square().sum(1).numpy()),
            "excess_loss": replicas.mean(((apart @ torch.from_numpy(gram)) * apart).sum(1).numpy()),
        }
        if len(fits) > 1:
            estimates["variance"] = Estimate(float(fits.var(0, ddof=1).sum()))
        if self._exact is None:
            return estimates
        whole = subject.subset == self.process.population.public
        mean, covariance = self._exact.model(int(model.generation), self.process.population.names.index(subject.member))
        laws = {
            "squared_error": float((mean - truth) @ (mean - truth) + np.trace(covariance)),
            "excess_loss": float((mean - truth) @ gram @ (mean - truth) + np.trace(gram @ covariance)),
            "variance": float(np.trace(covariance)),
        }
        if whole:
            estimates["relative_efficiency"] = self._efficiency(fits)
            laws["relative_efficiency"] = self._exact.efficiency(mean, covariance)
        return estimates | {f"{name}_theory": Estimate(value) for name, value in laws.items()}

    def _efficiency(self, fits: np.ndarray) -> Estimate:
        assert self._exact is not None
        apart = fits - self._exact.best
        excess = replicas.mean(np.einsum("ra,ab,rb->r", apart, self._exact.pooled, apart))
        ideal = self._exact.ideal
        if excess.lo is None or excess.hi is None:
            return Estimate(ideal / excess.value)
        return Estimate(ideal / excess.value, ideal / excess.hi, ideal / excess.lo if excess.lo > 0 else None)

    @cached_property
    def _grams(self) -> dict[str, np.ndarray]:
        return {name: x.T @ x / len(x) for name, x in self.truth.inputs.items()}

    @cached_property
    def _exact(self) -> Exact | None:
        """Return the theory of the run; None where there is none."""
        population, designs, noise = self.process.population, self._updates.designs, self.truth.noise
        if len(self._noises) > 1:
            log.info("there are no exact expectations (…_theory), because model.noise differs between the members")
        if designs is None or len(self._noises) > 1 or self._made != {"given"}:
            return None
        shares = [self._updates.shares(generation) for generation in range(self.process.generations + 1)]
        known = moments(designs, shares, noise, next(iter(self._noises)), self._mixing.drawn)
        sets = [*(population.private.get(name, population.public) for name in population.names), population.public]
        truths = np.stack([self.truth.truths[self._domains[str(name)]] for name in sets])
        best, pooled = best_common(designs, truths), pooled_gram(designs)
        return Exact(known, truths, best, pooled, ideal_excess(designs, noise))

    @cached_property
    def _updates(self) -> LinearUpdates:
        inputs = {name: self.truth.inputs[domain] for name, domain in self._domains.items()}
        return LinearUpdates(self.process, self._mixing, inputs)

    def _domain(self, name: str, prompts: Any) -> str:
        labels: list[Any] = list(getattr(prompts, "labels", ()))
        if len(labels) != 1:
            raise UserError(
                f"prompts.sets.{name} is one domain of dataset=linear_domains, such as "
                f"{{_target_: collapse_lab.prompts.Inputs, labels: [a]}}; got labels={labels}"
            )
        label = labels[0]
        return label if isinstance(label, str) else list(self.truth.domains)[label]

    def _linear(self, model: object) -> LinearRegression:
        """Return a model of the family, and keep what the theory has to know of it."""
        if not isinstance(model, LinearRegression):
            raise UserError(
                f"probes=[interacting] needs model=linear_regression; {type(model).__name__} is another family"
            )
        self._noises.add(model.noise)
        self._made.add(model.inputs)
        return model
