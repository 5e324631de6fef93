"""Four generators made of real digits, and which metric tells which of them from the perfect one.

`python -m tests.metrics.told_apart` prints the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from collapse_lab.datasets.digits import Digits
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
from collapse_lab.sinks.silent import Silent
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
FEW = 3  # the classes that the collapsed generator has left

Estimates = Mapping[str, Estimate]


@dataclass(frozen=True)
class Real:
    """The digits in three equal parts that share no row: trained on, compared with, and never seen."""

    data: RealData
    fresh: Samples
    spec: Spec


def real() -> Real:
    """About 599 rows each, with equal shares of every class: parts of unlike shares would differ by more than noise."""
    digits = Digits(reference_fraction=2 / 3)
    data = digits.load()
    shuffled = np.random.default_rng(0).permutation(len(data.reference))
    order = shuffled[np.argsort(data.reference.labels[shuffled], kind="stable")]
    held_out, fresh = data.reference.take(order[::2]), data.reference.take(order[1::2])
    return Real(RealData(data.train, held_out), fresh, digits.spec)


def generators(found: Real) -> dict[str, Samples]:
    """perfect: rows never seen. collapsed: of these, three classes, over and over, hardly changed. blurred: all of
    them, out of focus. memorising: the training rows, hardly changed.
    """
    rng = np.random.default_rng(1)
    fresh, kept = found.fresh, np.flatnonzero(found.fresh.labels < FEW)
    again = fresh.take(rng.choice(kept, len(fresh)))
    blur = gaussian_filter(fresh.data.numpy().astype(float), sigma=(0, 0, 0.7, 0.7))
    return {
        PERFECT: fresh,
        "collapsed": noisy(again, rng),
        "blurred": Samples(torch.from_numpy(np.round(blur).astype(np.uint8)), fresh.labels),
        "memorising": noisy(found.data.train, rng),
    }


def noisy(samples: Samples, rng: np.random.Generator) -> Samples:
    """Every pixel moved by up to 3 of its 255 levels."""
    moved = samples.data.numpy().astype(int) + rng.integers(-3, 4, tuple(samples.data.shape))
    return Samples(torch.from_numpy(moved.clip(0, 255).astype(np.uint8)), samples.labels)


def measured(found: Real, extractor: Extractor) -> dict[str, Estimates]:
    """Every metric of every generator, in one feature space."""
    sides = {"train": extractor.extract(found.data.train), "reference": extractor.extract(found.data.reference)}
    out: dict[str, Estimates] = {}
    for name, samples in generators(found).items():
        generated, estimates = extractor.extract(samples), dict[str, Estimate]()
        for metric in METRICS:
            estimates |= metric(generated, sides[metric.against], np.random.default_rng(2))
        out[name] = estimates
    return out


def extractor_of(space: str, found: Real) -> Extractor:
    """The pixels, or a classifier trained on the training rows."""
    if space == "pixels":
        return Pixels(found.spec)
    classifier = Classifier(found.spec)
    classifier.fit(found.data, Silent())
    return classifier


def told(estimates: Mapping[str, Estimates], generator: str) -> set[str]:
    """The metrics whose interval for a generator and for the perfect one have no number in common."""
    pairs = {name: (estimates[generator][name], estimates[PERFECT][name]) for name in measures(estimates)}
    return {name for name, (one, other) in pairs.items() if not overlap(one, other)}


def overlap(one: Estimate, other: Estimate) -> bool:
    """Whether two intervals have a number in common."""
    ends = [(e.value if e.lo is None else e.lo, e.value if e.hi is None else e.hi) for e in (one, other)]
    return ends[0][0] <= ends[1][1] and ends[1][0] <= ends[0][1]


def measures(estimates: Mapping[str, Estimates]) -> list[str]:
    """The names in the table's order; those of classes where the features are a classifier's."""
    return [name for name in NAMES if name in estimates[PERFECT]]


def table(estimates: Mapping[str, Estimates]) -> Iterable[str]:
    """Values as Markdown, in bold where they tell the generator from the perfect one."""
    yield f"| metric | {' | '.join(estimates)} |"
    yield f"| --- {'| --- ' * len(estimates)}|"
    apart = {generator: told(estimates, generator) for generator in estimates}
    for name in measures(estimates):
        cells = [shown(found[name], name in apart[generator]) for generator, found in estimates.items()]
        yield f"| {name} | {' | '.join(cells)} |"


def shown(estimate: Estimate, bold: bool) -> str:
    """A number to three digits."""
    text = f"{estimate.value:.3g}" if abs(estimate.value) >= 5e-4 else "0"
    return f"**{text}**" if bold else text


def main() -> None:
    """Print a table for each feature space."""
    found = real()
    for space in SPACES:
        print(f"\n`{space}`, {len(found.fresh)} rows each:\n")
        print("\n".join(table(measured(found, extractor_of(space, found)))))


if __name__ == "__main__":
    main()
