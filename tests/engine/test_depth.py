"""Count the calls of ours between the command line and the first training step: each is one more to read and debug."""

from __future__ import annotations

import json
from pathlib import Path

from tests.nursery import Nursery

LIMIT = 12

LINE = [
    "+experiment=nepotistic",
    "+scale=tiny",
    "generations=0",
    "features=[]",
    "metrics=[]",
    "sinks=[]",
    "n_train=32",
    "n_samples=16",
    "trainer.steps=1",
]


def test_the_first_training_step_is_at_most_12_calls_of_ours_below_the_command_line(
    nursery: Nursery, tmp_path: Path
) -> None:
    end = nursery.run([*LINE, "device=cpu", f"paths.runs={tmp_path / 'runs'}"], END_AT_STEP="1")
    assert end.code == 0, end.err
    frames = json.loads(end.out.splitlines()[-1])
    trace = "\n".join(["", *frames])
    assert frames[0].endswith(": main"), trace
    assert frames[-1] == "engine/lightning.py: fit", trace
    assert len(frames) <= LIMIT, trace
