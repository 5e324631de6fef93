"""Images per second of sampling against diffusers' pipelines, and guidance against two calls of the network a step.

`python -m tests.benchmarks.bench_sampling`: equal networks and equal steps, the two in turns, medians of the ratios;
1.00 is equally fast, 2.00 is twice as fast as theirs. A pipeline takes all its images at once; ours go by
`sampling_batch`, 64 rows a call.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import diffusers
import numpy as np
import torch

from collapse_lab.engine.silent import Silent
from collapse_lab.models.ddim import DDIM
from collapse_lab.models.ddpm import DDPM
from collapse_lab.models.diffusion import Diffusion
from collapse_lab.nn.samplers import Sampler
from collapse_lab.seeds import Seeds
from collapse_lab.types import Captions, Conditions, Spec

WORDS = tuple(f"class {label}" for label in range(10))
PLACE = Seeds(0, 0, "bench", "sample")
TRAIL = {"timestep_spacing": "trailing"}


def ours(model: Diffusion, n: int) -> Callable[[], object]:
    wanted = Conditions(np.arange(n) % 10, Captions())
    return lambda: model.sample(wanted, PLACE, Silent())


def in_batches(sample: Callable[[int], object], n: int, batch: int) -> Callable[[], object]:
    return lambda: [sample(min(batch, n - lo)) for lo in range(0, n, batch)]


def pipeline(model: Diffusion) -> Callable[[int], object]:
    """diffusers' own, for a network without a condition."""
    scheduler = model.sampler.prepared(model.noising.config)
    kind = diffusers.DDIMPipeline if model.sampler.scheduler == "DDIMScheduler" else diffusers.DDPMPipeline
    theirs = kind(model.unet, scheduler)
    theirs.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    steps = model.sampler.steps
    return lambda n: theirs(batch_size=n, generator=generator, num_inference_steps=steps, output_type="np")


@torch.no_grad()
def two_calls(model: DDPM, n: int) -> torch.Tensor:
    """The straightforward loop: the network with the class, then without it."""
    scheduler = model.sampler.prepared(model.noising.config)
    x, labels, none = torch.randn(n, *model.spec.shape), torch.arange(n) % 10, torch.full((n,), 10)
    for t in scheduler.timesteps:
        conditional, free = model.unet(x, t, labels).sample, model.unet(x, t, none).sample
        x = scheduler.step(free + model.guidance_scale * (conditional - free), t, x).prev_sample
    return x


def seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def compare(name: str, n: int, turns: int, mine: Callable[[], object], theirs: Callable[[], object]) -> None:
    mine(), theirs()
    pairs = [(seconds(mine), seconds(theirs)) for _ in range(turns)]
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"{name:56}{n / statistics.median(a for a, _ in pairs):10.1f} images/s{ratio:8.2f} times theirs", flush=True)


def unconditional(spec: Spec, args: argparse.Namespace) -> None:
    for scheduler, batches in (("DDIMScheduler", (args.images, 64)), ("DDPMScheduler", (args.images,))):
        model = DDIM(spec, sampler=Sampler(scheduler, args.steps, TRAIL)).eval()
        theirs = pipeline(model)
        for batch in batches:
            name = f"{scheduler.removesuffix('Scheduler')}Pipeline, {args.images} images by {batch}"
            compare(name, args.images, args.turns, ours(model, args.images), in_batches(theirs, args.images, batch))


def conditional(spec: Spec, args: argparse.Namespace) -> None:
    model = DDPM(spec, sampler=Sampler("DDIMScheduler", args.steps, TRAIL)).eval()
    middle = DDPM(spec, sampler=model.sampler, guidance_interval=(0.25, 0.75)).eval()
    for label, mine, n, batch in (
        ("guidance", model, args.images, args.images),
        ("guidance", model, args.images, 64),
        ("guidance", model, 4, 4),
        ("guidance in [0.25, 0.75]", middle, args.images, 64),
    ):
        theirs = in_batches(lambda k: two_calls(model, k), n, batch)
        compare(f"{label}, two calls, {n} images by {batch}", n, args.turns, ours(mine, n), theirs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--sides", type=int, nargs="+", default=[8, 28])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    args = parser.parse_args()
    before = torch.get_num_threads()
    for threads in args.threads:
        torch.set_num_threads(threads)
        for side in args.sides:
            print(f"{side}x{side}, {args.steps} steps, {threads} threads; ours by 64 rows")
            spec = Spec("image", (1, side, side), WORDS)
            unconditional(spec, args)
            conditional(spec, args)
    torch.set_num_threads(before)


if __name__ == "__main__":
    main()
