"""The fit and the sample phase against the same steps in a bare PyTorch loop.

`python -m tests.benchmarks.bench_phases`: the same network, batches, optimiser, clipping, moving average and sampler;
the two take turns, and the medians are compared. 1.00 is no overhead at all.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import diffusers
import torch
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.training_utils import EMAModel

from collapse_lab.datasets.digits import Digits
from collapse_lab.engine.silent import Silent
from collapse_lab.images import as_float
from collapse_lab.models.text2image import Text2Image
from collapse_lab.prompts import Everything
from collapse_lab.seeds import Seeds
from collapse_lab.types import Budget, Samples

STEPS, BATCH, IMAGES, TURNS = 60, 64, 256, 5


def model(data: Digits) -> Text2Image:
    with Seeds(0, 0, "bench", "init").scoped():
        return Text2Image(data.spec)


def bare_fit(net: Text2Image, train: Samples) -> None:
    settings = net.optimisation
    optimizer = torch.optim.AdamW(
        net.parameters(), settings.lr, weight_decay=settings.weight_decay, betas=(0.9, 0.99), fused=True
    )
    schedule = get_cosine_schedule_with_warmup(optimizer, round(settings.warmup * STEPS), STEPS)
    average = EMAModel(net.parameters(), decay=settings.ema_decay or 0.0, foreach=True)
    tokens = net.tokenize(train.captions.table)[torch.from_numpy(train.captions.index)]
    for _ in range(STEPS):
        rows = torch.randint(len(train), (BATCH,))
        x, noise = as_float(train.data[rows]), torch.randn(BATCH, *train.data.shape[1:])
        t = torch.randint(1000, (BATCH,))
        noisy = net.noising.add_noise(x, noise, t)
        predicted = net.unet(noisy, t, net.text(tokens[rows]), return_dict=False)[0]
        optimizer.zero_grad()
        torch.autograd.backward(torch.nn.functional.mse_loss(predicted, noise))
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.step(net.parameters())


@torch.no_grad()
def bare_sample(net: Text2Image, captions: list[str]) -> torch.Tensor:
    scheduler = getattr(diffusers, net.sampler.scheduler).from_config(dict(net.noising.config))
    scheduler.set_timesteps(net.sampler.steps)
    text = net.text(torch.cat([net.tokenize(captions), net.tokenize([""]).expand(len(captions), -1)]))
    x = torch.randn(len(captions), *net.spec.shape)
    for t in scheduler.timesteps:
        conditional, empty = net.unet(torch.cat([x, x]), t, text, return_dict=False)[0].chunk(2)
        x = scheduler.step(empty + net.guidance_scale * (conditional - empty), t, x).prev_sample
    return x


def seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def compare(name: str, ours: Callable[[], object], bare: Callable[[], object]) -> tuple[float, float]:
    """Print the ratio of the medians of the seconds of both, which take turns, and return the medians."""
    ours(), bare()
    pairs = [(seconds(ours), seconds(bare)) for _ in range(TURNS)]
    own, other = statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)
    print(f"{name:8} ours / bare loop: {own / other:.3f}  (bare {other:.2f} s)", flush=True)
    return own, other


def peak(device: str) -> float:
    """Return the most MiB of the GPU that tensors took since the last call, and count anew; NaN on a CPU."""
    if device == "cpu":
        return float("nan")
    most = torch.cuda.max_memory_allocated() / 2**20
    torch.cuda.reset_peak_memory_stats()
    return most


def main() -> None:
    data = Digits(reference_fraction=0.3, templates=["a handwritten {}", "the digit {} in pencil"])
    train = data.load().train
    seeds = Seeds(0, 0, "bench", "fit")
    ours, bare = model(data), model(data)
    budget = Budget(STEPS, BATCH)
    compare("fit", lambda: ours.fit(train, budget, seeds, Silent()), lambda: bare_fit(bare, train))
    ours.eval(), bare.eval()
    conditions = Everything().bind(data.spec).conditions(IMAGES, train, data.spec)
    texts = conditions.captions.texts()
    compare("sample", lambda: ours.sample(conditions, seeds, Silent()), lambda: bare_sample(bare, texts))


if __name__ == "__main__":
    main()
