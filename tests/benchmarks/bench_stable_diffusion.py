"""Stable Diffusion against the steps of diffusers' training example and its pipeline, on one pipeline.

`python -m tests.benchmarks.bench_stable_diffusion [--size 1.5] [--device cuda]`: the same network, batches, optimiser,
clipping, moving average, scheduler and guidance; the two take turns. The example encodes pictures and prompts at each
step, ours once in a fit. The tiny pipeline is computed in float32. That of Stable Diffusion 1.5 has random weights and
pictures of 512x512 pixels, and is computed in bfloat16; it has not been run.

Images a second are those that a fit trains on, and those that are sampled. The peak of memory is that of a GPU on which
one side alone computes. The hours of a chain of `+experiment=nepotistic_faces` follow from our images a second.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, StableDiffusionPipeline
from diffusers.training_utils import EMAModel

from collapse_lab.config.composing import compose
from collapse_lab.engine.silent import Silent
from collapse_lab.images import as_float
from collapse_lab.models.latent import Precision
from collapse_lab.models.stable_diffusion import StableDiffusion
from collapse_lab.nn.samplers import Sampler
from collapse_lab.seeds import Seeds
from collapse_lab.types import Budget, Captions, Conditions, Samples, Spec
from tests.benchmarks.bench_phases import compare, peak
from tests.models.tiny_pipelines import write_pipeline
from tests.models.usual_pipelines import write_15

TEXTS = ("a hand", "a ten")


@dataclass(frozen=True)
class Size:
    """A pipeline and what is computed with it.

    Attributes:
        write: writes the pipeline into a folder.
        side: the side of a picture, in pixels.
        steps: the steps of a fit.
        batch: the rows of a step, and the pictures that diffusers samples at a time.
        sampled: how many pictures are sampled.
        times: the steps of the sampler.
        rounded: whether products are in bfloat16.
    """

    write: Callable[[Path], Path]
    side: int
    steps: int
    batch: int
    sampled: int
    times: int
    rounded: bool

    def autocast(self, device: str) -> AbstractContextManager[None]:
        """Return the block in which a network computes."""
        return torch.autocast(device, torch.bfloat16, enabled=self.rounded)


SIZES = {
    "tiny": Size(write_pipeline, 32, steps=30, batch=8, sampled=16, times=6, rounded=False),
    "1.5": Size(write_15, 512, steps=100, batch=16, sampled=16, times=20, rounded=True),
}
IMAGES = 64


def example_fit(pipe: StableDiffusionPipeline, data: Samples, size: Size, device: str) -> None:
    """Train as diffusers' text-to-image example does, with its moving average."""
    for frozen in (pipe.vae, pipe.text_encoder):
        frozen.to(device, torch.bfloat16 if size.rounded else torch.float32)
    unet, noising = pipe.unet.to(device, torch.float32).train(), DDPMScheduler.from_config(pipe.scheduler.config)
    optimizer = torch.optim.AdamW(unet.parameters(), 1e-5, weight_decay=0.01, fused=True)
    average = EMAModel(unet.parameters(), decay=0.9999, foreach=True)
    texts = data.captions.texts()
    for _ in range(size.steps):
        rows = torch.randint(len(data), (size.batch,))
        with torch.no_grad():
            law = pipe.vae.encode(as_float(data.data[rows]).to(device, pipe.vae.dtype)).latent_dist
            x = law.sample() * pipe.vae.config.scaling_factor
            tokens = pipe.tokenizer(
                [texts[row] for row in rows], padding="max_length", truncation=True, return_tensors="pt"
            )
            states = pipe.text_encoder(tokens.input_ids.to(device), return_dict=False)[0]
        noise = torch.randn_like(x)
        t = torch.randint(noising.config.num_train_timesteps, (size.batch,), device=device)
        with size.autocast(device):
            predicted = unet(noising.add_noise(x, noise, t), t, states, return_dict=False)[0]
        optimizer.zero_grad()
        torch.autograd.backward(torch.nn.functional.mse_loss(predicted.float(), noise.float()))
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        average.step(unet.parameters())


def pipeline_sample(pipe: StableDiffusionPipeline, texts: list[str], size: Size, device: str) -> None:
    pipe.to(device, torch.bfloat16 if size.rounded else torch.float32)
    for start in range(0, len(texts), size.batch):
        some = texts[start : start + size.batch]
        pipe(
            some,
            num_inference_steps=size.times,
            guidance_scale=7.5,
            height=size.side,
            width=size.side,
            output_type="np",
        )


@dataclass(frozen=True)
class Both:
    """Measure ours and diffusers'.

    Attributes:
        ours: our model.
        pipe: the pipeline of diffusers.
        device: cpu or cuda.
    """

    ours: StableDiffusion
    pipe: StableDiffusionPipeline
    device: str

    def measure(self, name: str, images: int, own: Callable[[], object], other: Callable[[], object]) -> float:
        """Print the images a second and the peak of memory of both, and return our images a second."""
        seconds = compare(name, own, other)
        peaks = self.alone(own), self.alone(other)
        for who, taken, most in zip(("ours", "diffusers"), seconds, peaks, strict=True):
            print(f"  {name:8}{who:12}{images / taken:10.2f} images a second  peak {most:7.0f} MiB", flush=True)
        return images / seconds[0]

    def alone(self, call: Callable[[], object]) -> float:
        """Return the peak of memory of a call, before which both sides leave the GPU; NaN on a CPU."""
        if self.device == "cuda":
            self.ours.to("cpu")
            self.ours.encoders.release()
            self.pipe.to("cpu")
            torch.cuda.empty_cache()
            peak(self.device)
            call()
        return peak(self.device)


def work(size: Size) -> tuple[Samples, Conditions]:
    """Return pictures of noise to train on, and the conditions to sample for."""
    labels = np.arange(IMAGES) % len(TEXTS)
    pictures = torch.randint(0, 256, (IMAGES, 3, size.side, size.side), dtype=torch.uint8)
    data = Samples(pictures, labels, Captions.of([TEXTS[label] for label in labels]))
    return data, Conditions(labels[: size.sampled], data.captions.take(np.arange(size.sampled)))


def hours(trained: float, sampled: float, times: int) -> None:
    """Print how long a chain of the preset takes, measurements left out.

    Args:
        trained: the images a second of a fit.
        sampled: the images a second of sampling.
        times: the steps of the sampler that they were sampled with.
    """
    cfg = compose("+experiment=nepotistic_faces", "model.pretrained=none", "dataset.root=none").cfg
    rows = cfg.generations * cfg.trainer.finetune_steps * cfg.trainer.batch_size
    images = (cfg.generations + 1) * cfg.n_samples * len(cfg.prompts.sets)
    longer = cfg.model.sampler.steps / times
    estimate = (rows / trained + images * longer / sampled) / 3600
    print(
        f"  a chain of {cfg.generations} iterations trains on {rows:,} images and samples {images:,}: {estimate:.1f} "
        "hours at this size of the pictures"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="tiny", choices=SIZES)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    args = parser.parse_args()
    size, device = SIZES[args.size], args.device
    data, conditions = work(size)
    precision: Precision = "bf16-mixed" if size.rounded else "32-true"
    with tempfile.TemporaryDirectory() as folder:
        size.write(Path(folder))
        ours = StableDiffusion(
            Spec("image", (3, size.side, size.side), (), TEXTS),
            pretrained=folder,
            prompt_dropout=0.0,
            sampler=Sampler("DPMSolverMultistepScheduler", size.times),
            sampling_precision=precision,
        )
        pipe = StableDiffusionPipeline.from_pretrained(folder)
        pipe.set_progress_bar_config(disable=True)
        seeds, budget = Seeds(0, 0, "bench", "fit"), Budget(size.steps, size.batch, device=device, precision=precision)
        texts = conditions.captions.texts()
        both = Both(ours, pipe, device)
        trained = both.measure(
            "fit",
            size.steps * size.batch,
            lambda: ours.fit(data, budget, seeds, Silent()),
            lambda: example_fit(pipe, data, size, device),
        )
        pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
        sampled = both.measure(
            "sample",
            size.sampled,
            lambda: ours.to(device).sample(conditions, seeds, Silent()),
            lambda: pipeline_sample(pipe, texts, size, device),
        )
        hours(trained, sampled, size.times)


if __name__ == "__main__":
    main()
