"""Stable Diffusion against the steps of diffusers' training example and its pipeline, on one pipeline.

`python -m tests.benchmarks.bench_stable_diffusion [--size 1.5] [--device cuda]`: the same network, batches, optimiser,
clipping, moving average, scheduler and guidance; the two take turns. The example encodes pictures and prompts at each
step, ours once in a fit. The tiny pipeline is computed in float32. That of Stable Diffusion 1.5 has random weights and
pictures of 512x512 pixels, and is computed in bfloat16; it has not been run.
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

from collapse_lab.images import as_float
from collapse_lab.models.latent import Precision
from collapse_lab.models.stable_diffusion import StableDiffusion
from collapse_lab.nn.samplers import Sampler
from collapse_lab.seeds import Seeds
from collapse_lab.sinks.silent import Silent
from collapse_lab.types import Budget, Captions, Conditions, Samples, Spec
from tests.benchmarks.bench_phases import compare
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="tiny", choices=SIZES)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    args = parser.parse_args()
    size, device = SIZES[args.size], args.device
    labels = np.arange(IMAGES) % len(TEXTS)
    pictures = torch.randint(0, 256, (IMAGES, 3, size.side, size.side), dtype=torch.uint8)
    data = Samples(pictures, labels, Captions.of([TEXTS[label] for label in labels]))
    conditions = Conditions(labels[: size.sampled], data.captions.take(np.arange(size.sampled)))
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
        compare("fit", lambda: ours.fit(data, budget, seeds, Silent()), lambda: example_fit(pipe, data, size, device))
        pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
        texts = conditions.captions.texts()
        ours.to(device)
        compare(
            "sample",
            lambda: ours.sample(conditions, seeds, Silent()),
            lambda: pipeline_sample(pipe, texts, size, device),
        )


if __name__ == "__main__":
    main()
