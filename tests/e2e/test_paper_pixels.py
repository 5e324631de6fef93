"""Versions that hand on pixels neither rounded nor clamped, by ancestral sampling, as arXiv:2306.06130 does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from collapse_lab.config.composing import compose
from collapse_lab.engine.payloads import samples_of
from collapse_lab.experiment import prepare

LINE = [
    "+experiment=feedback",
    "+scale=tiny",
    "sinks=[]",
    "generations=1",
    "trainer.steps=20",
    "n_train=16",
    "n_samples=16",
    "model.channels=[8,16]",
    "model.norm_groups=4",
    "features=[pixels]",
    "metrics=[fid]",
    "model.sampler.scheduler=DDPMScheduler",
    "model.sampler.steps=8",
    "model.sampler.options.timestep_spacing=leading",
    "model.sampler.options.eta=null",
    "+model.sampler.options.variance_type=fixed_large",
    "model.optimisation={lr: 0.0001, lr_schedule: linear, warmup: 0, ema_decay: 0, betas: [0.9, 0.999]}",
]


@pytest.mark.parametrize("stored", [pytest.param("uint8", marks=pytest.mark.slow), "float32"])
def test_a_chain_keeps_pixels_in_the_form_that_is_asked_for(stored: str, tmp_path: Path) -> None:
    line = [*LINE, "model.pixels.range=[0,1]", f"model.pixels.stored={stored}", f"paths.runs={tmp_path}"]
    experiment = prepare(compose(*line))
    result = experiment.run()
    assert result.status == "ok"
    assert all(record.metrics["all/pixels/fid"] > 0 for record in result.records)
    kept = [samples_of(step.samples["all"].value()).data for steps in experiment.layout.plan for step in steps]
    for data in kept:
        if stored == "uint8":
            assert data.dtype == torch.uint8
        else:
            assert data.dtype == torch.float32
            # After 20 steps of training some pixels lie outside of what a picture can show
            assert float(data.abs().max()) > 1
