"""Linear models that learn from each other: a thousand replicas, and a map of the theory, against bare loops.

`python -m tests.benchmarks.bench_interacting`. Four models of ten dimensions and 50 generations through planner, loop,
probe, store and ledger, against a loop in NumPy over generations and models: at most 10 s on two idle cores. Then the
relative efficiency of four models of low rank over a 21 x 21 grid of alpha and beta, in the limit and in generation 50,
against a loop over cells and generations: at most 2 minutes.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from collapse_lab.datasets.linear_domains import LinearDomains
from collapse_lab.theory.interacting import Designs, moments, paper_shares
from collapse_lab.theory.interacting_efficiency import (
    efficiency_map,
    excess_risks,
    ideal_excess,
    low_rank_designs,
)
from tests.chains import chain

GENERATIONS, REPLICAS, MODELS, D, ROWS = 50, 1000, 4, 10, 40
NAMES = ["a", "b", "c", "d", "public"]
GRID = np.linspace(0, 1, 21)


def replicas() -> None:
    args = ["+experiment=interacting_linear", f"generations={GENERATIONS}", f"model.replicas={REPLICAS}", "sinks=[]"]
    with tempfile.TemporaryDirectory() as folder:
        begun, worked = time.perf_counter(), time.process_time()
        records = chain(Path(folder), *args)
        ours, work = time.perf_counter() - begun, time.process_time() - worked
    begun = time.perf_counter()
    error = plain()
    took = time.perf_counter() - begun
    last = records[-1].metrics
    half = last["public/squared_error_hi"] - last["public/squared_error"]
    print(f"{GENERATIONS} generations x {MODELS} models x {REPLICAS} x {D}: {ours:.1f} s, at most 10; CPU {work:.1f} s")
    apart = abs(last["public/squared_error"] - error) / half
    print(f"  bare loop {took:.1f} s: {ours / took:.1f}; squared error in the end apart by {apart:.1f} half intervals")


def plain() -> float:
    """The squared error of the last model in the end at α = β = 1/2, as one would write it."""
    truth, rng = LinearDomains(domains=NAMES, dimension=D, rows=ROWS), np.random.default_rng(0)
    x = truth.inputs
    y = {name: (x[name] @ truth.truths[name])[:, None] + rng.standard_normal((ROWS, REPLICAS)) for name in NAMES}
    made: dict[str, np.ndarray] = {}
    for generation in range(GENERATIONS + 1):
        fits = {}
        for name in NAMES[:-1]:
            alpha = 0.5 if generation else 0.0
            parts = [(x[name], y[name], (1 - alpha) / 2), (x["public"], y["public"], (1 - alpha) / 2)]
            parts += [(x[other], labels, alpha / MODELS) for other, labels in made.items()]
            inputs, labels = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
            weights = np.concatenate([np.full(len(part[0]), part[2]) for part in parts])
            weighted = inputs * weights[:, None]
            fits[name] = np.linalg.solve(weighted.T @ inputs, weighted.T @ labels)
        made = {name: x[name] @ fit + rng.standard_normal((ROWS, REPLICAS)) for name, fit in fits.items()}
    apart = fits[NAMES[-2]] - truth.truths["public"][:, None]
    return float((apart**2).sum(0).mean())


def efficiencies() -> None:
    designs = low_rank_designs(MODELS, rank=3, rows=40, public_rows=160)
    truths = np.tile(np.random.default_rng(1).standard_normal(designs.dimension), (MODELS + 1, 1))
    for generation in (None, GENERATIONS):
        begun = time.perf_counter()
        ours = efficiency_map(designs, GRID, GRID, truths, generation=generation)
        took = time.perf_counter() - begun
        alpha, beta = (GRID[i] for i in np.unravel_index(ours.argmax(), ours.shape))
        where = "limit" if generation is None else f"generation {generation}"
        print(f"map of 21 x 21, {where}: {took:.2f} s, at most 120; best at {alpha:.2f}, {beta:.2f}")
    begun = time.perf_counter()
    theirs = np.array([[bare(designs, alpha, beta, truths) for beta in GRID] for alpha in GRID])
    loop = time.perf_counter() - begun
    print(f"  loop over cells and generations {loop:.1f} s: {took / loop:.2f}, apart by {abs(ours - theirs).max():.0e}")


def bare(designs: Designs, alpha: float, beta: float, truths: np.ndarray) -> float:
    """The efficiency of one cell, generation after generation."""
    rows = [paper_shares(0, beta, MODELS), *[paper_shares(alpha, beta, MODELS)] * GENERATIONS]
    return float(ideal_excess(designs) / excess_risks(designs, moments(designs, rows), truths)[-1].mean())


def main() -> None:
    replicas()
    efficiencies()


if __name__ == "__main__":
    main()
