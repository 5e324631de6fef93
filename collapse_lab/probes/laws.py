"""The closed forms of `collapse_lab.theory` that hold for a run, one number for each of its generations."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from collapse_lab.mixing.accumulate import Accumulate
from collapse_lab.mixing.accumulate_subsample import AccumulateSubsample
from collapse_lab.mixing.augment import Augment
from collapse_lab.mixing.base import synthetic_count
from collapse_lab.mixing.blend import LATEST, Blend
from collapse_lab.mixing.contaminate import Contaminate
from collapse_lab.mixing.fresh import Fresh
from collapse_lab.mixing.replace import Replace
from collapse_lab.probes.process import Process
from collapse_lab.theory import accumulate, blend, discrete, gaussian, mad, multivariate, regression, rkhs, typical
from collapse_lab.theory.arguments import Estimator, GaussianMoments, SampleSizes
from collapse_lab.types import Estimate

Laws = Mapping[str, np.ndarray]
QUANTILES = {"variance_q05": 0.05, "variance_median": 0.5, "variance_q95": 0.95}
EXACT = 24  # number of generations at which a quantile is inverted; see `quantile`
INVERTED = 200  # where sizes jump, a quantile is inverted at every generation: chains may have this many at most
LARGEST = 2000  # most rows of a chain of counts; all its transition matrices may have LARGEST² entries together


def expected(laws: Laws, generation: int) -> dict[str, Estimate]:
    """Return the value of each law at one generation, under the law's name with the suffix `_theory`.

    Args:
        laws: Values of generations 0, 1, …, by name.
        generation: The generation; a law that ends before it is left out.
    """
    return {f"{name}_theory": Estimate(float(law[generation])) for name, law in laws.items() if generation < len(law)}


def gaussian_laws(process: Process, rows: int, estimator: Estimator, variances: np.ndarray, axes_apart: bool) -> Laws:
    """Return the laws of the Gaussian family on N(0, diag(variances)), under the names of the probe `moments`.

    Mean and variance have laws under every policy, except one that draws the same real rows again. The other numbers
    have laws under replace only.

    Args:
        process: How the generations follow on each other.
        rows: The number of real rows.
        estimator: The estimator of the variance that the family uses.
        variances: Variances of the real distribution, (d,).
        axes_apart: Whether the family fits every axis on its own.

    Returns:
        Values of generations 0, …, G, (G + 1,), by name; empty where no law holds.
    """
    sizes = process.trained(rows)
    if not process.alone or sizes.min() < 2:
        return {}
    d, total = len(variances), float(variances.sum())
    moments = _moments(process, rows, estimator, total)
    if moments is None:
        return {}
    laws = {"variance": representable(moments.variance / d), "mean_error": moments.mean_error}
    if not _replaces(process):
        return laws
    g = process.steps
    if axes_apart:
        laws["log_variance"] = typical.expected_log_variance(
            g, sizes, estimator, float(np.exp(np.log(variances).mean()))
        )
        risks = [gaussian.wasserstein_risk(g, sizes, estimator, float(variance)) for variance in variances]
        laws["wasserstein_risk"] = np.sum(risks, axis=0)
    else:
        laws["log_variance"] = multivariate.expected_log_determinant(g, sizes, estimator, variances) / d
    if d == 1 and (_smooth(sizes) or len(sizes) <= INVERTED):
        laws |= {name: quantile(g, p, sizes, estimator, total) for name, p in QUANTILES.items()}
    return laws


def discrete_laws(process: Process, rows: int, probabilities: np.ndarray) -> Laws:
    """Return the laws of the discrete family under replace, under the names of the probe `drift`.

    Args:
        process: How the generations follow on each other.
        rows: The number of real rows.
        probabilities: The real distribution, (k,).

    Returns:
        Values of generations 0, …, G, (G + 1,), by name; empty where no law holds.
    """
    sizes, g = process.trained(rows), process.steps
    if not process.alone or not _replaces(process):
        return {}
    heterozygosity = discrete.expected_heterozygosity(g, sizes, probabilities)
    above_zero = heterozygosity[0] > 0 and sizes.min() > 1  # else one category is left, and the law is exactly 0
    laws = {"heterozygosity": representable(heterozygosity) if above_zero else heterozygosity}
    if not _counted(sizes):
        return laws
    survival = discrete.survival_probability(g, sizes, probabilities)
    return {**laws, "support": survival.sum(1), "mass_lost": (1 - survival) @ probabilities}


def state_laws(process: Process, rows: int, probabilities: np.ndarray, rare: np.ndarray, states: int) -> Laws:
    """Return the laws of single states of the discrete family under replace, under the names of the probe `states`.

    Args:
        process: How the generations follow on each other.
        rows: The number of real rows.
        probabilities: The real distribution, (k,).
        rare: Which states are rare, (k,).
        states: How many states have a law of their own.

    Returns:
        Values of generations 0, …, G, (G + 1,), by name; empty where no law holds or where it would take too long.
    """
    sizes, g = process.trained(rows), process.steps
    if not process.alone or not _replaces(process) or not _counted(sizes):
        return {}
    fixed = discrete.fixation_probability(g, sizes, probabilities)
    lost = 1 - discrete.survival_probability(g, sizes, probabilities)
    laws = {"absorbed": fixed.sum(1)} | {f"absorbed_{k}": fixed[:, k] for k in range(states)}
    means = {name: lost[:, chosen] for name, chosen in (("rare_lost", rare), ("common_lost", ~rare)) if chosen.any()}
    return laws | {name: of_states.mean(1) for name, of_states in means.items()}


def regression_laws(process: Process, rows: int, dimension: int, noise: float, design: regression.Design) -> Laws:
    """Return the law of linear regression, under the name of its number, `test_error`.

    Inputs that are the "same" in every generation need the same number of rows in every generation.

    Args:
        process: How the generations follow on each other.
        rows: The number of real rows.
        dimension: The number of coefficients.
        noise: The variance of the labels' noise.
        design: Whether the inputs are the "same" in every generation, or "fresh" ones.

    Returns:
        Values of generations 0, …, G, (G + 1,), by name; empty where no law holds.
    """
    g, trained, added = process.steps, process.trained(rows), process.added(rows)
    one_size = len({*trained, *added}) == 1
    if not process.alone or min(trained[0], added[0]) < dimension + 2 or not (one_size or design == "fresh"):
        return {}
    if _replaces(process) and trained.min() >= dimension + 2:
        return {"test_error": regression.replace_error(g, trained, dimension, noise)}
    if isinstance(process.mixing, Accumulate):
        return {"test_error": regression.accumulate_error(g, added, dimension, design, noise)}
    return {}


def direction_laws(process: Process, rows: int, ridge: float, coefficients: np.ndarray) -> Laws:
    """Return the laws of density estimates in a Hilbert space under replace, under the names of the probe `directions`.

    Args:
        process: How the generations follow on each other.
        rows: The number of real rows.
        ridge: The weight of the penalty.
        coefficients: Those of the real density, (k,).

    Returns:
        Values of generations 0, …, G, (G + 1,), by name; empty where no law holds.
    """
    if not process.alone or not _replaces(process):
        return {}
    means = rkhs.expected_coefficients(process.steps, ridge, coefficients)
    squares = rkhs.expected_squares(process.steps, process.trained(rows), ridge, coefficients)
    numbers = range(1, len(coefficients) + 1)
    return {f"direction_{k}": means[:, k - 1] for k in numbers} | {
        f"direction_{k}_square": squares[:, k - 1] for k in numbers
    }


def quantile(
    g: np.ndarray, probability: float, sizes: SampleSizes, estimator: Estimator, variance: float
) -> np.ndarray:
    """Return `theory.typical.variance_quantile`, inverted at EXACT generations spread evenly over log(g + 1).

    Between these generations the quantile of the standardised log variance is a spline: it changes slowly, unless sizes
    jump, and its mean and deviation are exact everywhere. One inversion takes milliseconds, and a run has thousands of
    generations. Where sizes do jump, every generation is inverted.

    Args:
        g: The generations 0, …, G, (G + 1,).
        probability: In [1e-5, 1 - 1e-5].
        sizes: The sizes of the training sets.
        estimator: The estimator of the variance that the family uses.
        variance: σ² of the real distribution.

    Returns:
        Quantiles of the variance, (G + 1,); NaN where a quantile is smaller than float64 can hold.
    """
    if not _smooth(sizes):
        return representable(typical.variance_quantile(g, probability, sizes, estimator, variance))
    nodes = np.unique(np.geomspace(1, len(g), EXACT).round().astype(np.int64)) - 1
    centre = typical.expected_log_variance(g, sizes, estimator, variance)
    scale = typical.std_of_log_variance(g, sizes)
    # Logarithms, because late in a chain of few rows the quantile itself is smaller than float64 can hold
    exact = typical.log_variance_quantile(g[nodes], probability, sizes, estimator, variance)
    if len(nodes) < 4:
        return representable(np.exp(exact))
    from scipy.interpolate import CubicSpline  # here because it takes 0.4 s to import

    standard = (exact - centre[nodes]) / scale[nodes]
    return representable(np.exp(centre + scale * CubicSpline(np.log(nodes + 1), standard)(np.log(g + 1))))


def representable(law: np.ndarray) -> np.ndarray:
    """Return the values of a law that is above 0, and NaN where a value is smaller than float64 can hold.

    The ledger leaves NaN out. A 0 would say that the law is 0, and numbers next to 0 have few correct digits.

    Args:
        law: Numbers of 0 or more, (g,), of which those that are 0 are too small.
    """
    return np.where(law >= np.finfo(np.float64).tiny, law, np.nan)


def _smooth(sizes: SampleSizes) -> bool:
    """Return whether the sizes after the first are a power of g + 1, within a row and 2 %."""
    later = np.atleast_1d(sizes)[1:]
    if len(later) < 2:
        return True
    clock = np.log(np.arange(2, len(later) + 2))
    power: np.ndarray = np.exp(np.polynomial.Polynomial.fit(clock, np.log(later), 1)(clock))
    return bool((np.abs(later - power) <= 1 + 0.02 * power).all())


def _counted(sizes: np.ndarray) -> bool:
    """Return whether the chains of counts are small enough for their transition matrices."""
    matrices = np.unique(np.stack([sizes[:-1], sizes[1:]]), axis=1)
    return bool(sizes.max() <= LARGEST and matrices.prod(0).sum() <= LARGEST**2)


def _replaces(process: Process) -> bool:
    policy = process.mixing
    if isinstance(policy, Blend):
        return policy.shares[LATEST] == 1
    return isinstance(policy, Replace) or (isinstance(policy, Contaminate) and policy.ratio == 1)


def _moments(process: Process, rows: int, estimator: Estimator, variance: float) -> GaussianMoments | None:
    g, first, policy = process.steps, process.first(rows), process.mixing
    if _replaces(process):
        sizes = process.trained(rows)
        return GaussianMoments(
            gaussian.expected_variance(g, sizes, estimator, variance),
            gaussian.variance_of_mean(g, sizes, estimator, variance),
        )
    one_size = len(np.unique(process.nominal[1:])) <= 1 and len(np.unique(process.sampled[1:])) <= 1
    laws: dict[type, Callable[[], GaussianMoments | None]] = {
        Accumulate: lambda: accumulate.accumulate_moments(g, process.added(rows), estimator, variance),
        AccumulateSubsample: lambda: (
            accumulate.subsample_moments(g, first, int(process.sampled[-1]), estimator, variance)
            if one_size and first == process.nominal[-1]
            else None
        ),
        Fresh: lambda: _fresh(process, first, estimator, variance) if one_size else None,
        Augment: lambda: _augmented(process, first, estimator, variance),
        Blend: lambda: _blended(process, first, estimator, variance),
    }
    return laws[type(policy)]() if type(policy) in laws else None


def _fresh(process: Process, first: int, estimator: Estimator, variance: float) -> GaussianMoments:
    assert isinstance(process.mixing, Fresh)
    n = int(process.nominal[-1])
    synthetic = synthetic_count(process.mixing.ratio, n)
    return mad.fresh_moments(process.steps, n - synthetic, synthetic, first, 1.0, estimator, variance)


def _blended(process: Process, first: int, estimator: Estimator, variance: float) -> GaussianMoments:
    assert isinstance(process.mixing, Blend)
    sets: list[tuple[int, int, int, int]] = []
    real, synthetic = first, 0
    for size in process.nominal[1:]:
        parts = process.mixing.parts(int(size), real, synthetic)
        real, synthetic = parts.kept_real + parts.drawn, parts.latest + parts.kept_synthetic
        sets.append(parts)
    return blend.blend_moments(process.steps, first, sets, estimator, variance)


def _augmented(process: Process, first: int, estimator: Estimator, variance: float) -> GaussianMoments:
    assert isinstance(process.mixing, Augment)
    synthetic = round(process.mixing.lam * first)
    return mad.augmented_moments(process.steps, first, synthetic, 1.0, estimator, variance)
