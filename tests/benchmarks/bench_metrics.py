"""Metrics against the implementations that others use: seconds and memory, each alone in a fresh process.

`python -m tests.benchmarks.bench_metrics [--rows 10000] [--dimensions 2048]`: features like those of a network
(rectified, in clusters, of falling variance), float32 as an extractor gives them. A ratio of 3 means three times as
fast, or a third of the memory. "All of a generation" is what the ruler does in every generation, after what depends on
the real rows alone was computed; "one by one" calls each metric by itself, as a program outside the laboratory does.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from collapse_lab.engine.measuring import estimates_of, known_of, offers
from collapse_lab.types import FeatureSet, Task


def features(rows: int, dimensions: int, seed: int) -> Tensor:
    centres = torch.randn(10, 64, generator=torch.Generator().manual_seed(9))
    mixing = torch.randn(64, dimensions, generator=torch.Generator().manual_seed(8)) / 8
    generator = torch.Generator().manual_seed(seed)
    hidden = centres[torch.randint(10, (rows,), generator=generator)] + torch.randn(rows, 64, generator=generator)
    noise = 0.1 * torch.randn(rows, dimensions, generator=generator)
    return torch.relu(hidden @ mixing + noise + 0.02 * seed)


def clean_fid(x: Tensor, y: Tensor) -> object:
    """The steps of clean-fid's function, whose own call of sqrtm depends on the version of scipy."""
    a, b = x.numpy(), y.numpy()
    s1, s2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(s1 @ s2).real
    shift = a.mean(0) - b.mean(0)
    return float(shift @ shift + s1.trace() + s2.trace() - 2 * root.trace())


def torchmetrics_fid(x: Tensor, y: Tensor) -> object:
    from torchmetrics.image.fid import _compute_fid

    x, y = x.double(), y.double()
    return float(_compute_fid(x.mean(0), torch.cov(x.T), y.mean(0), torch.cov(y.T)))


def torchmetrics_kid(x: Tensor, y: Tensor) -> object:
    from torchmetrics.image.kid import poly_mmd

    return float(poly_mmd(x.double(), y.double(), 3, None, 1.0))


def package_prdc(x: Tensor, y: Tensor) -> object:
    from prdc import compute_prdc

    with contextlib.redirect_stdout(io.StringIO()):
        return compute_prdc(y.numpy(), x.numpy(), 5)


def our_fid(x: Tensor, y: Tensor) -> object:
    from collapse_lab.metrics.fid import frechet_distance

    return frechet_distance(x, y)


def our_kid(x: Tensor, y: Tensor) -> object:
    from collapse_lab.metrics.kid import kernel_distance

    return kernel_distance(x, y)


def our_prdc(x: Tensor, y: Tensor) -> object:
    from collapse_lab.metrics.prdc import prdc

    return prdc(x, y)


def metrics_and_sets(x: Tensor, y: Tensor) -> tuple[dict[str, Any], FeatureSet, FeatureSet]:
    """The metrics of the default configuration, and both sets."""
    from hydra.utils import instantiate

    from collapse_lab import compose

    labels = torch.arange(len(x)) % 10
    metrics = {name: instantiate(node) for name, node in compose().cfg.metrics.items()}
    return metrics, FeatureSet(x, labels, labels), FeatureSet(y, labels, labels)


def our_generation(x: Tensor, y: Tensor) -> object:
    """Every metric of the default configuration, with intervals, one after another and without known real rows."""
    metrics, generated, real = metrics_and_sets(x, y)
    spent = {}
    for name, metric in metrics.items():
        begun = time.perf_counter()
        metric(generated, real, np.random.default_rng(0))
        spent[name] = round(time.perf_counter() - begun, 1)
    return spent


class Generation:
    """Every metric of the default configuration as the ruler computes them, when the real rows are known.

    Args:
        apart: whether memorisation compares with other real rows than the other metrics, as it does in a run.
    """

    def __init__(self, apart: bool) -> None:
        self._apart = apart

    def prepare(self, x: Tensor, y: Tensor) -> Callable[[], object]:
        """What is computed once a run."""
        metrics, generated, real = metrics_and_sets(x, y)
        train = FeatureSet(y.flip(0), real.labels, real.predicted) if self._apart else real
        sets = {name: train if metric.against == "train" else real for name, metric in metrics.items()}
        known = {n: known_of(m, sets[n]) if offers(m, "of_real") else None for n, m in metrics.items()}
        rngs = {name: np.random.default_rng(0) for name in metrics}
        tasks = [Task(metrics[name], generated, sets[name], rngs[name], known[name]) for name in metrics]
        return lambda: estimates_of(tasks)


Call = Callable[[Tensor, Tensor], object] | Generation


def measured(call: Call, rows: int, dimensions: int) -> tuple[float, float, object]:
    """Seconds, MiB beyond the features, and what it gave; in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (call, rows, dimensions))


def _measure(call: Call, rows: int, dimensions: int) -> tuple[float, float, object]:
    small = features(300, 64, 1), features(300, 64, 2)
    _prepared(call, *small)()  # imports, loads LAPACK and starts the threads
    ready = _prepared(call, features(rows, dimensions, 1), features(rows, dimensions, 2))
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew, because making features has one of its own
    before = _peak()
    begun = time.perf_counter()
    found = ready()
    return time.perf_counter() - begun, _peak() - before, found


def _prepared(call: Call, x: Tensor, y: Tensor) -> Callable[[], object]:
    return call.prepare(x, y) if isinstance(call, Generation) else partial(call, x, y)


def _peak() -> float:
    """MiB that the process has held at once."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--dimensions", type=int, default=2048)
    args = parser.parse_args()
    run = partial(measured, rows=args.rows, dimensions=args.dimensions)
    theirs = {"clean-fid": clean_fid, "torchmetrics FID": torchmetrics_fid, "torchmetrics KID": torchmetrics_kid}
    others: dict[str, tuple[float, float, object]] = {
        name: run(call) for name, call in {**theirs, "prdc": package_prdc}.items()
    }
    pairs: list[tuple[str, Call, list[str]]] = [
        ("fid", our_fid, ["clean-fid", "torchmetrics FID"]),
        ("kid", our_kid, ["torchmetrics KID"]),
        ("prdc", our_prdc, ["prdc"]),
        ("all, one by one", our_generation, ["prdc"]),
        ("all of a generation", Generation(apart=False), ["all, one by one"]),
        ("the same, train apart", Generation(apart=True), ["all, one by one"]),
    ]
    print(f"{args.rows} x {args.dimensions}, {torch.get_num_threads()} threads")
    print(f"{'ours':24}{'against':18}{'s':>8}{'theirs':>8}{'ratio':>7}{'MiB':>8}{'theirs':>8}{'ratio':>7}")
    for name, call, against in pairs:
        seconds, memory, found = run(call)
        for other in against:
            s, m, _ = others[other]
            times, sizes = f"{seconds:8.2f}{s:8.2f}{s / seconds:7.2f}", f"{memory:8.0f}{m:8.0f}{m / memory:7.2f}"
            print(f"{name:24}{other:18}{times}{sizes}")
        others[name] = seconds, memory, found
        if name == "all, one by one":
            print(f"  seconds of each: {found}")


if __name__ == "__main__":
    main()
