"""How the metrics compare in time with the implementations that others use.

`python -m tests.benchmarks.bench_metrics`: random features, the fastest of three calls each. A ratio of 3
means three times as fast.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time
from collections.abc import Callable

import scipy.linalg
import torch
from prdc import compute_prdc
from torch import Tensor
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from collapse_lab.metrics.fid import frechet_distance
from collapse_lab.metrics.kid import kernel_distance
from collapse_lab.metrics.prdc import prdc


def clean_fid(x: Tensor, y: Tensor) -> float:
    """The steps of clean-fid's function, whose own call of sqrtm depends on the version of scipy."""
    a, b = x.numpy(), y.numpy()
    s1, s2 = torch.cov(x.T).numpy(), torch.cov(y.T).numpy()
    root = scipy.linalg.sqrtm(s1 @ s2).real
    shift = a.mean(0) - b.mean(0)
    return float(shift @ shift + s1.trace() + s2.trace() - 2 * root.trace())


def torchmetrics_fid(x: Tensor, y: Tensor) -> float:
    return float(_compute_fid(x.mean(0), torch.cov(x.T), y.mean(0), torch.cov(y.T)))


def package_prdc(x: Tensor, y: Tensor) -> dict[str, float]:
    with contextlib.redirect_stdout(io.StringIO()):
        return dict(compute_prdc(y.numpy(), x.numpy(), 5))


def seconds(call: Callable[[], object]) -> float:
    """The least of three: other work on the machine only ever adds."""
    taken = []
    for _ in range(3):
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--dimensions", type=int, default=512)
    args = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(args.rows, args.dimensions, generator=generator, dtype=torch.float64) for _ in range(2))
    pairs: list[tuple[str, str, Callable[[], object], Callable[[], object]]] = [
        ("fid", "clean-fid's formula", lambda: frechet_distance(x, y), lambda: clean_fid(x, y)),
        ("fid", "torchmetrics", lambda: frechet_distance(x, y), lambda: torchmetrics_fid(x, y)),
        (
            "kid",
            "torchmetrics (1 subset)",
            lambda: kernel_distance(x, y),
            lambda: poly_mmd(x, y, 3, None, 1.0),
        ),
        ("prdc", "prdc", lambda: prdc(x, y), lambda: package_prdc(x, y)),
    ]
    for call in (frechet_distance, kernel_distance, prdc, clean_fid, torchmetrics_fid, package_prdc):
        call(x[:300, :64], y[:300, :64])  # loads LAPACK and starts the threads
    print(f"{args.rows} x {args.dimensions}, {torch.get_num_threads()} threads")
    print(f"{'metric':8}{'against':26}{'ours s':>9}{'theirs s':>10}{'ratio':>8}")
    for metric, against, ours, theirs in pairs:
        mine, other = seconds(ours), seconds(theirs)
        print(f"{metric:8}{against:26}{mine:9.3f}{other:10.3f}{other / mine:8.2f}")


if __name__ == "__main__":
    main()
