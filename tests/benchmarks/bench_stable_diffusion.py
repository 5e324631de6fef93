"""Stable Diffusion against the steps of diffusers' training example and its pipeline, on one tiny pipeline.

`python -m tests.benchmarks.bench_stable_diffusion`: the same network, batches, optimiser, clipping, moving average,
scheduler and guidance; the two take turns. The example encodes pictures and prompts at each step, ours once in a fit.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, StableDiffusionPipeline
from diffusers.training_utils import EMAModel

from collapse_lab.images import as_float
from collapse_lab.models.stable_diffusion import StableDiffusion
from collapse_lab.nn.samplers import Sampler
from collapse_lab.seeds import Seeds
from collapse_lab.sinks.silent import Silent
from collapse_lab.types import Budget, Captions, Conditions, Samples, Spec
from tests.benchmarks.bench_phases import compare
from tests.models.tiny_pipelines import write_pipeline

STEPS, BATCH, IMAGES, SIDE, SAMPLED, TIMES = 30, 8, 64, 32, 16, 6
TEXTS = ("a hand", "a ten")


def example_fit(pipe: StableDiffusionPipeline, data: Samples) -> None:
    """Train as diffusers' text-to-image example does, with its moving average."""
    unet, noising = pipe.unet.train(), DDPMScheduler.from_config(pipe.scheduler.config)
    optimizer = torch.optim.AdamW(unet.parameters(), 1e-5, weight_decay=0.01, fused=True)
    average = EMAModel(unet.parameters(), decay=0.9999, foreach=True)
    texts = data.captions.texts()
    for _ in range(STEPS):
        rows = torch.randint(len(data), (BATCH,))
        with torch.no_grad():
            law = pipe.vae.encode(as_float(data.data[rows])).latent_dist
            x = law.sample() * pipe.vae.config.scaling_factor
            tokens = pipe.tokenizer(
                [texts[row] for row in rows], padding="max_length", truncation=True, return_tensors="pt"
            )
            states = pipe.text_encoder(tokens.input_ids, return_dict=False)[0]
        noise, t = torch.randn_like(x), torch.randint(noising.config.num_train_timesteps, (BATCH,))
        predicted = unet(noising.add_noise(x, noise, t), t, states, return_dict=False)[0]
        optimizer.zero_grad()
        torch.autograd.backward(torch.nn.functional.mse_loss(predicted, noise))
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        average.step(unet.parameters())


def pipeline_sample(pipe: StableDiffusionPipeline, texts: list[str]) -> None:
    for start in range(0, len(texts), BATCH):
        some = texts[start : start + BATCH]
        pipe(some, num_inference_steps=TIMES, guidance_scale=7.5, height=SIDE, width=SIDE, output_type="np")


def main() -> None:
    labels = np.arange(IMAGES) % len(TEXTS)
    pictures = torch.randint(0, 256, (IMAGES, 3, SIDE, SIDE), dtype=torch.uint8)
    data = Samples(pictures, labels, Captions.of([TEXTS[label] for label in labels]))
    conditions = Conditions(labels[:SAMPLED], data.captions.take(np.arange(SAMPLED)))
    with tempfile.TemporaryDirectory() as folder:
        write_pipeline(Path(folder))
        spec, sampler = Spec("image", (3, SIDE, SIDE), (), TEXTS), Sampler("DPMSolverMultistepScheduler", TIMES)
        ours = StableDiffusion(spec, pretrained=folder, prompt_dropout=0.0, sampler=sampler)
        pipe = StableDiffusionPipeline.from_pretrained(folder)
        pipe.set_progress_bar_config(disable=True)
        seeds, budget = Seeds(0, 0, "bench", "fit"), Budget(STEPS, BATCH)
        compare("fit", lambda: ours.fit(data, budget, seeds, Silent()), lambda: example_fit(pipe, data))
        pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
        texts = conditions.captions.texts()
        compare("sample", lambda: ours.sample(conditions, seeds, Silent()), lambda: pipeline_sample(pipe, texts))


if __name__ == "__main__":
    main()
