"""Every experiment at the tiny scale, from the command to the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from collapse_lab.config.searchpath import CONF
from tests.e2e.command import ledger, only_run
from tests.e2e.faces import needed
from tests.nursery import Nursery

EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
# Each has a smaller test of its own; data, weights or a tokenizer of some come first, which takes longer than the run
SLOW = (
    "feedback_colour",
    "interacting_lm",
    "interacting_lm_three",
    "nepotistic",
    "nepotistic_emoji",
    "nepotistic_faces",
    "recursive_lm",
)
DIFFUSION = ("feedback", "feedback_mixture", "interacting_images", "mad", "nepotistic_healing")
SHORT = ("trainer.steps=12", "trainer.finetune_steps=4")  # because nothing here depends on what a model learns
NAMES = {"interacting_lm_three": "interacting_lm"}  # its runs stand beside those of two models


@pytest.mark.parametrize(
    "experiment", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in EXPERIMENTS]
)
def test_an_experiment_runs_at_the_tiny_scale(experiment: str, nursery: Nursery, tmp_path: Path) -> None:
    # One later generation, because a second does the same again, except in healing: its first one is contaminated
    short = SHORT if experiment == "nepotistic_healing" else (*SHORT, "generations=1")
    narrow = ["model.channels=[8,16]"] if experiment in DIFFUSION else []
    if experiment in DIFFUSION and experiment != "mad":  # because mad measures in features of lenet
        narrow += ["features.classifier.steps=5"]
    own = [*needed(tmp_path, each=50), "features=[pixels]"] if experiment == "nepotistic_faces" else []
    args = [f"+experiment={experiment}", "+scale=tiny", *short, *narrow, *own, f"paths.runs={tmp_path}"]
    end = nursery.run(args, PAGE="1")
    assert end.code == 0, end.err
    run = only_run(tmp_path, NAMES.get(experiment, experiment))
    records = [line for line in ledger(run) if "generation" in line]
    assert {line["generation"] for line in records} >= {0, 1}
    assert all(line["metrics"] for line in records)
    assert (run / "report.html").stat().st_size > 10_000
