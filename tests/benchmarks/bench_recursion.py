"""The curse of recursion: thousands of generations and replicas against bare loops.

`python -m tests.benchmarks.bench_recursion [generations]`. A Gaussian chain of 10,000 replicas and 100 samples through
planner, loop, probes, store and ledger, against two bare torch loops with the same draws, `plain` and `tuned`; the
second ends at the same numbers to the last bit. Then a mixture: the paper's 2,050 generations, and 100 replicas
against a loop over scikit-learn's class.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from sklearn.mixture import GaussianMixture as ScikitLearn
from threadpoolctl import threadpool_limits

from collapse_lab.datasets.mixture import Mixture
from collapse_lab.seeds import Seeds
from tests.chains import chain, errors, series

GENERATIONS, REPLICAS, N, FEW = 1000, 10_000, 100, 10
QUIET = "sinks=[]"


def seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def plain(generations: int) -> float:
    """The mean variance in the end, by maximum likelihood, as one would write it."""
    x = real_rows()
    for g in range(generations + 1):
        mean, std = x.mean(0), x.std(0, correction=0)
        x = mean + std * noise(g)
    return float(std.square().mean())


def tuned(generations: int) -> float:
    """The same in fewer passes over the rows, and without torch's slow deviation along the first axis."""
    x = real_rows()
    for g in range(generations + 1):
        mean = x.mean(0)
        variance = (x - mean).square_().sum(0) / N
        x = noise(g).mul_(variance.sqrt()).add_(mean)
    return float(variance.mean())


def real_rows() -> torch.Tensor:
    generator = Seeds(0, 0, "real", "points/train").torch()
    return torch.randn(N, REPLICAS, dtype=torch.float64, generator=generator)


def noise(g: int) -> torch.Tensor:
    return torch.randn(N, REPLICAS, generator=Seeds(0, g, "model", "sample/all").torch()).double()


def gaussian(generations: int) -> None:
    args = ["+experiment=recursive_gaussian", QUIET]
    with tempfile.TemporaryDirectory() as folder:
        for estimator, exact in (("unbiased", 0.164790), ("ml", 0.159397)):
            few = chain(Path(folder) / estimator, *args, "generations=10", f"model.estimator={estimator}")
            found, error = (kind(few, "wasserstein_risk")[-1] for kind in (series, errors))
            print(f"risk after 11 fits, {estimator}: {found:.4f} ± {error:.4f} (exact {exact})")
        path = Path(folder) / "whole"
        begun = time.perf_counter()
        records = chain(path, *args, f"generations={generations}")
        ours = time.perf_counter() - begun
        disk = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 2**20
    print(f"{generations} generations x {REPLICAS} x {N}: {ours:.1f} s, {disk:.0f} MB on disk")
    for loop in (plain, tuned):
        begun = time.perf_counter()
        variance = loop(generations)
        took = time.perf_counter() - begun
        apart = series(records, "variance")[-1] / variance - 1
        print(f"  {loop.__name__} loop {took:.1f} s: {ours / took:.2f}; mean variance in the end apart by {apart:.0e}")


def mixture(generations: int) -> None:
    args = ["+experiment=recursive_gmm", QUIET]
    with tempfile.TemporaryDirectory() as folder:
        took = seconds(lambda: chain(Path(folder) / "paper", *args, f"generations={2 * generations + 50}"))
        print(f"mixture, {2 * generations + 50} generations of 1,000 samples: {took:.0f} s")
        size = [*args, "model.replicas=100", "probes=[]", "dataset.reference=2"]  # fit and sample, as below
        start = seconds(lambda: chain(Path(folder) / "one", *size, "generations=0"))
        ours = (seconds(lambda: chain(Path(folder) / "many", *size, f"generations={FEW}")) - start) / FEW
    theirs = seconds(scikit_learn) / (FEW + 1)
    print(f"  100 replicas, a generation: {ours:.3f} s, scikit-learn {theirs:.2f} s: {theirs / ours:.1f} times")


def scikit_learn() -> None:
    """FEW + 1 generations of 100 replicas, one after another, in one thread: with two it is slower at this size."""
    rows = Mixture(replicas=100, rows=1000).load().train.data.numpy()
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        for r in range(100):
            x = rows[:, r]
            for g in range(FEW + 1):
                x = ScikitLearn(2, tol=1e-5, max_iter=2000, random_state=g).fit(x).sample(1000)[0]


def main(generations: int = GENERATIONS) -> None:
    gaussian(generations)
    mixture(generations)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
