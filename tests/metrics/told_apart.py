"""Make four generators of real digits, and show which metric distinguishes which of them from the perfect one.

`python -m tests.metrics.told_apart` prints the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from collapse_lab.datasets.digits import Digits
from collapse_lab.engine.silent import Silent
from collapse_lab.features.classifier import Classifier
from collapse_lab.features.pixels import Pixels
from collapse_lab.metrics.classes import Classes
from collapse_lab.metrics.cmmd import CMMD
from collapse_lab.metrics.diversity import PairwiseDistance
from collapse_lab.metrics.fd_infinity import FDInfinity
from collapse_lab.metrics.fid import FID
from collapse_lab.metrics.kid import KID
from collapse_lab.metrics.memorisation import Memorisation
from collapse_lab.metrics.prdc import PRDC
from collapse_lab.metrics.vendi import Vendi
from collapse_lab.types import Estimate, Extractor, Metric, RealData, Samples, Spec

METRICS: tuple[Metric, ...] = (
    FID(), FDInfinity(), KID(), CMMD(), PRDC(), Vendi(), PairwiseDistance(), Classes(), Memorisation(),
)  # fmt: skip
NAMES = (
    "fid", "fd_infinity", "kid", "cmmd", "precision", "density", "recall", "coverage", "vendi", "pairwise_distance",
    "mode_coverage", "class_entropy", "authenticity", "near_copies",
)  # fmt: skip
SPACES = ("pixels", "classifier")
PERFECT = "perfect"
FEW = 3  # how many classes the collapsed generator still generates

Estimates = Mapping[str, Estimate]


@dataclass(frozen=True)
class Real:
    """Hold the digits in three equal parts that share no row: trained on, compared with, and never seen."""

    data: RealData
    fresh: Samples
    spec: Spec


def real() -> Real:
    """Return three parts of about 599 rows each.

    Every class has the same share in all parts, because parts of different shares would differ by more than noise.
    """
    digits = Digits(reference_fraction=2 / 3)
    data = digits.load()
    shuffled = np.random.default_rng(0).permutation(len(data.reference))
    order = shuffled[np.argsort(data.reference.labels[shuffled], kind="stable")]
    held_out, fresh = data.reference.take(order[::2]), data.reference.take(order[1::2])
    return Real(RealData(data.train, held_out), fresh, digits.spec)


def generators(digits: Real) -> dict[str, Samples]:
    """Return the samples of four generators by name.

    perfect: rows never seen. collapsed: three classes of these rows, many times, with a little noise. blurred: all of
    these rows, out of focus. memorising: the training rows, with a little noise.
    """
    rng = np.random.default_rng(1)
    fresh, kept = digits.fresh, np.flatnonzero(digits.fresh.labels < FEW)
    again = fresh.take(rng.choice(kept, len(fresh)))
    blur = gaussian_filter(fresh.data.numpy().astype(float), sigma=(0, 0, 0.7, 0.7))
    return {
        PERFECT: fresh,
        "collapsed": noisy(again, rng),
        "blurred": Samples(torch.from_numpy(np.round(blur).astype(np.uint8)), fresh.labels),
        "memorising": noisy(digits.data.train, rng),
    }


def noisy(samples: Samples, rng: np.random.Generator) -> Samples:
    """Return the samples with every pixel moved by up to 3 of its 255 levels."""
    moved = samples.data.numpy().astype(int) + rng.integers(-3, 4, tuple(samples.data.shape))
    return Samples(torch.from_numpy(moved.clip(0, 255).astype(np.uint8)), samples.labels)


def measured(digits: Real, extractor: Extractor) -> dict[str, Estimates]:
    """Return every metric of every generator, in one feature space."""
    sides = {"train": extractor.extract(digits.data.train), "reference": extractor.extract(digits.data.reference)}
    out: dict[str, Estimates] = {}
    for name, samples in generators(digits).items():
        generated, estimates = extractor.extract(samples), dict[str, Estimate]()
        for metric in METRICS:
            estimates |= metric(generated, sides[metric.against], np.random.default_rng(2))
        out[name] = estimates
    return out


def extractor_of(space: str, digits: Real) -> Extractor:
    """Return the pixels, or a classifier trained on the training rows."""
    if space == "pixels":
        return Pixels(digits.spec)
    classifier = Classifier(digits.spec)
    classifier.fit(digits.data, Silent())
    return classifier


def detected(estimates: Mapping[str, Estimates], generator: str) -> set[str]:
    """Return the metrics whose intervals for a generator and for the perfect one have no number in common."""
    pairs = {name: (estimates[generator][name], estimates[PERFECT][name]) for name in measures(estimates)}
    return {name for name, (one, other) in pairs.items() if not overlap(one, other)}


def overlap(one: Estimate, other: Estimate) -> bool:
    """Return whether two intervals have a number in common."""
    ends = [(e.value if e.lo is None else e.lo, e.value if e.hi is None else e.hi) for e in (one, other)]
    return ends[0][0] <= ends[1][1] and ends[1][0] <= ends[0][1]


def measures(estimates: Mapping[str, Estimates]) -> list[str]:
    """Return the names in the order of the table; those of classes need the features of a classifier."""
    return [name for name in NAMES if name in estimates[PERFECT]]


def table(estimates: Mapping[str, Estimates]) -> Iterable[str]:
    """Yield the lines of a Markdown table, with values in bold where they detect the generator."""
    yield f"| metric | {' | '.join(estimates)} |"
    yield f"| --- {'| --- ' * len(estimates)}|"
    apart = {generator: detected(estimates, generator) for generator in estimates}
    for name in measures(estimates):
        cells = [shown(values[name], name in apart[generator]) for generator, values in estimates.items()]
        yield f"| {name} | {' | '.join(cells)} |"


def shown(estimate: Estimate, bold: bool) -> str:
    """Return a number with three digits."""
    text = f"{estimate.value:.3g}" if abs(estimate.value) >= 5e-4 else "0"
    return f"**{text}**" if bold else text


def main() -> None:
    """Print a table for each feature space."""
    digits = real()
    for space in SPACES:
        print(f"\n`{space}`, {len(digits.fresh)} rows each:\n")
        print("\n".join(table(measured(digits, extractor_of(space, digits)))))


if __name__ == "__main__":
    main()
