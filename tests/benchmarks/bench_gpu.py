"""Training steps and samples a second on a GPU, against the loop and the pipeline of diffusers' example.

`python -m tests.benchmarks.bench_gpu`: two U-Nets of pixels are trained as the laboratory does and in other ways, and
sampled from. "As it was" steps parameter by parameter and draws in turn. A ratio is the example's time over that of a
way: above 1.00 the way is faster. The share of the time in which the GPU is busy comes from torch's profiler. The U-Net
of Stable Diffusion 1.5 has a benchmark of its own (`bench_stable_diffusion --size 1.5 --device cuda`).

Nothing here has been run on a GPU. `--device cpu --warm-up 1 --steps 2` runs the same code on a CPU, 4 rows a step.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

import diffusers
import numpy as np
import torch
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.training_utils import EMAModel
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader, TensorDataset

from collapse_lab.engine import lightning
from collapse_lab.engine.fitting import Precision
from collapse_lab.engine.silent import Silent
from collapse_lab.images import as_float
from collapse_lab.models.ddim import DDIM
from collapse_lab.models.diffusion import Diffusion
from collapse_lab.seeds import Seeds
from collapse_lab.types import Budget, Conditions, Samples
from tests.benchmarks.bench_ahead import ahead_by, data
from tests.benchmarks.bench_phases import peak, seconds

SEEDS, PROFILED = Seeds(0, 0, "bench", "fit"), 20


@dataclass(frozen=True)
class Size:
    """A network, the rows of a step, and how many images are sampled."""

    channels: tuple[int, ...]
    layers: int
    shape: tuple[int, int, int]
    batch: int
    images: int


SIZES = (Size((32, 64), 1, (1, 8, 8), 48, 2000), Size((160, 320), 2, (3, 32, 32), 256, 1024))


class Clock(Silent):
    """Take the time of the steps after those of the warm-up.

    Attributes:
        seconds: of all these steps, once the last one has ended.
    """

    def __init__(self, warm_up: int, steps: int) -> None:
        self._warm_up, self._last, self._done = warm_up, warm_up + steps, 0
        self._begun = self.seconds = 0.0

    def advance(self, steps: int = 1) -> None:
        """Count a step."""
        self._done += steps
        if self._done == self._warm_up:
            self._begun = _now()
        if self._done == self._last:
            self.seconds = _now() - self._begun


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def example_steps(model: DDIM, rows: Samples, device: str, batch: int) -> Iterator[None]:
    """Train as diffusers' example of unconditional generation does, in float32, one step at a time."""
    net = model.unet.to(device).train()
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3, betas=(0.9, 0.99), weight_decay=1e-4)
    schedule = get_cosine_schedule_with_warmup(optimizer, 20, 10_000)
    average = EMAModel(net.parameters(), decay=0.995, use_ema_warmup=False)
    pictures: Any = DataLoader(TensorDataset(as_float(rows.data)), batch_size=batch, shuffle=True, drop_last=True)
    while True:
        for (x,) in pictures:
            x = x.to(device)
            noise, t = torch.randn_like(x), torch.randint(1000, (len(x),), device=device)
            predicted = net(model.noising.add_noise(x, noise, t), t, return_dict=False)[0]
            loss = torch.nn.functional.l1_loss(predicted, noise)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            average.step(net.parameters())
            loss.item()  # the example logs it in each step
            yield


@contextmanager
def as_it_was() -> Iterator[None]:
    with patch.object(lightning, "fused", lambda module: False), ahead_by(0):
        yield


WAYS: dict[str, tuple[Callable[[], AbstractContextManager[object]], Precision]] = {
    "as it was": (as_it_was, "32-true"),
    "fused, in turn": (partial(ahead_by, 0), "32-true"),
    "fused, ahead": (nullcontext, "32-true"),
    "the same in bfloat16": (nullcontext, "bf16-mixed"),
}


class Bench:
    """Time one network.

    Args:
        args: device, warm_up and steps of the command line.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.device, self.warm_up, self.steps = args.device, args.warm_up, args.steps

    def ours(self, model: Diffusion, rows: Samples, batch: int, precision: Precision) -> tuple[float, float]:
        """Return the seconds of a training step, and the share of them in which the GPU is busy."""
        clock = Clock(self.warm_up, self.steps)
        budget = Budget(self.warm_up + self.steps, batch, device=self.device, precision=precision)
        model.fit(rows, budget, SEEDS, clock)
        few = Budget(PROFILED if self.device == "cuda" else 2, batch, device=self.device, precision=precision)
        return clock.seconds / self.steps, self.busy(lambda: model.fit(rows, few, SEEDS, Silent()))

    def example(self, steps: Iterator[None]) -> tuple[float, float]:
        """Return what `ours` returns, of an example's loop."""
        clock = Clock(self.warm_up, self.steps)
        for _ in range(self.warm_up + self.steps):
            next(steps)
            clock.advance()
        return clock.seconds / self.steps, self.busy(lambda: [next(steps) for _ in range(PROFILED)])

    def busy(self, call: Callable[[], object]) -> float:
        """Return the share of the time between a call's first and last kernel in which a kernel runs; NaN on a CPU."""
        if self.device == "cpu":
            return float("nan")
        with profile(activities=[ProfilerActivity.CUDA]) as seen:
            call()
            torch.cuda.synchronize()
        spans = sorted((event.time_range.start, event.time_range.end) for event in seen.events() or [])
        covered, reached = 0.0, spans[0][0]
        for start, end in spans:
            covered, reached = covered + max(0.0, end - max(start, reached)), max(reached, end)
        return float(covered / (reached - spans[0][0]))

    def report(self, name: str, found: tuple[float, float], against: float) -> None:
        """Print one line, and begin to count the peak of memory anew."""
        seconds, busy = found
        print(
            f"  {name:24}{1e3 * seconds:9.1f} ms a step  ratio {against / seconds:5.2f}  busy {busy:4.0%}"
            f"  {peak(self.device):7.0f} MiB"
        )


def pixels(bench: Bench, size: Size) -> None:
    """Time the training and the sampling of a U-Net of pixels."""
    spec, rows = data(size.shape)
    batch, images = (4, 4) if bench.device == "cpu" else (size.batch, size.images)

    def model() -> DDIM:
        with Seeds(0, 0, "bench", "init").scoped():
            return DDIM(spec, channels=size.channels, layers_per_block=size.layers)

    parameters = sum(parameter.numel() for parameter in model().parameters())
    print(f"U-Net of {parameters / 1e6:.2f} M parameters, {size.shape}, {batch} rows a step")
    example = bench.example(example_steps(model(), rows, bench.device, batch))
    bench.report("diffusers' example", example, example[0])
    for name, (context, precision) in WAYS.items():
        with context():
            bench.report(name, bench.ours(model(), rows, batch, precision), example[0])
    drawn = model().to(bench.device)
    conditions = Conditions(rows.labels[:images], rows.captions.take(np.arange(images)))
    drawn.sample(conditions, SEEDS, Silent())
    by_pipeline(drawn, images)
    own = seconds(lambda: drawn.sample(conditions, SEEDS, Silent()))
    theirs = seconds(lambda: by_pipeline(drawn, images))
    print(f"  sampling {images} images: {own:.2f} s, diffusers' pipeline {theirs:.2f} s, ratio {theirs / own:.2f}")


def by_pipeline(model: DDIM, images: int) -> None:
    """Sample by diffusers' pipeline, in one batch."""
    scheduler = diffusers.DDIMScheduler.from_config(dict(model.noising.config))
    pipeline = diffusers.DDIMPipeline(model.unet, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    pipeline(batch_size=images, num_inference_steps=model.sampler.steps, output_type="np")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--warm-up", type=int, default=20)
    parser.add_argument("--steps", type=int, default=200)
    bench = Bench(parser.parse_args())
    for size in SIZES:
        pixels(bench, size)


if __name__ == "__main__":
    main()
