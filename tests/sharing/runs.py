"""Runs of the smallest size of each family that is exported, computed in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from collapse_lab import compose, prepare
from collapse_lab.cli.export import main
from collapse_lab.engine.payloads import samples_of
from collapse_lab.seeds import Seeds
from collapse_lab.sharing.chosen import Chosen, choose
from collapse_lab.types import Samples

SMALL = ["generations=0", "n_train=8", "n_samples=4", "trainer.epochs=null", "trainer.steps=3"]
SMALL += ["trainer.finetune_steps=2", "trainer.batch_size=4", "device=cpu", "features=[]", "metrics=[]", "probes=[]"]
SMALL += ["sinks=[]", "model.sampling_batch=50"]
DIGITS = ["+experiment=nepotistic", *SMALL, "dataset=digits", "dataset.limit=64", "mixing.initial=null", "ratio=0.5"]
DIGITS += ["prompts=all"]
NET = ["model.channels=[8,16]", "model.norm_groups=4", "model.attention_head_dim=8", "model.sampler.steps=3"]
NET += ["model.pixels.stored=float32"]
TEXT = ["model.text_width=16", "model.text_heads=2"]
LATENT = [
    "model=stable_diffusion",
    "model.sampler.steps=2",
    "model.pixels.stored=float32",
    "model.optimisation.finetune_lr=null",
]
LANGUAGE = [
    "+experiment=recursive_lm",
    *SMALL,
    "dataset=python_docs",
    "dataset.vocabulary=300",
    "dataset.block=8",
    "dataset.train=32",
    "dataset.reference=8",
]
LANGUAGE += ["model.width=16", "model.layers=1", "model.heads=2", "prompts=continuation"]


def computed(runs: Path, *overrides: str) -> Path:
    """Return the folder of a run that is computed with its store beside it, and has no report."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("collapse_lab.report.write_report", lambda folders, path: None)
        return prepare(compose(*overrides, f"paths.runs={runs}")).run().folder


def exported(run: Path, folder: Path, *options: str) -> Path:
    """Return the folder that a generation of a run is exported to."""
    assert main([str(run), "--to", str(folder), *options]) == 0
    return folder


def chosen(run: Path, generation: int = 0) -> Chosen:
    """Return a generation of a run as the export finds it."""
    return choose(run, generation, None, [], "model")


def fitted(one: Chosen) -> Any:
    """Return the model of a generation as the run had it after its fit."""
    model = one.lab.models[0].build(one.lab.dataset.spec, one.step.generation)
    model.load(one.stored("fit", one.step.fit.key).tensors)
    model.eval()  # type: ignore[attr-defined]
    return model


def sampled(one: Chosen) -> tuple[Samples, torch.Generator]:
    """Return what a generation sampled for the first prompt set, and the generator that it began with."""
    name, stage = next(iter(one.step.samples.items()))
    seeds = Seeds(one.lab.seed, one.step.generation, one.step.model, f"sample/{name}")
    return samples_of(one.stored("sample", stage.key)), seeds.torch()
