"""Images per second of `Inception.extract`, resizing included, against the bare network on ready-made tensors.

`python -m tests.benchmarks.bench_features`: random images of 32x32, both in turn, the fastest of three calls each. On a
CPU the ratio is above 1, because `extract` gives the network its images channels last.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from collapse_lab.features.inception import SIDE, Inception
from collapse_lab.types import Samples, Spec


def seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    spec = Spec("image", (3, args.side, args.side))
    generator = torch.Generator().manual_seed(0)
    data = torch.randint(0, 256, (args.images, *spec.shape), generator=generator, dtype=torch.uint8)
    rows = Samples(data, np.zeros(args.images, np.int64))
    ready = torch.rand(args.images, 3, SIDE, SIDE, generator=generator) * 2 - 1
    cache = os.environ.get("COLLAPSE_LAB_DATA", "~/.cache/collapse_lab")
    extractor = Inception(spec, cache=cache, batch_size=args.batch, device=args.device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torch.jit.load(str(extractor.file), map_location=args.device).eval()  # type: ignore[no-untyped-call]

    @torch.inference_mode()
    def bare() -> Tensor:
        return torch.cat([network(batch.to(args.device)).cpu() for batch in torch.split(ready, args.batch)])

    extractor.extract(rows.take(np.arange(2)))  # the first call loads the network
    network(ready[:2].to(args.device))
    # In turn, and the least of each: other work on the machine only ever adds
    rounds = [(seconds(lambda: extractor.extract(rows)), seconds(bare)) for _ in range(args.rounds)]
    ours, theirs = (args.images / min(taken) for taken in zip(*rounds, strict=True))
    print(f"{args.images} images of {spec.shape}, {torch.get_num_threads()} threads, {args.device}")
    print(f"inception: extract {ours:.1f} images/s, bare network {theirs:.1f} images/s, ratio {ours / theirs:.3f}")


if __name__ == "__main__":
    main()
