"""Count the calls of ours between the command line and the first training step: each is one more to read and debug."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

LIMIT = 12

# It prints the frames above the first training step, and ends the process there
PROGRAM = """
import json, os, sys, traceback
from pathlib import Path

import collapse_lab
from collapse_lab.models.diffusion import Diffusion

PACKAGE = Path(collapse_lab.__file__).resolve().parent

def training_step(self, *arguments, **named):
    stack = [(Path(frame.filename).resolve(), frame.name) for frame in traceback.extract_stack()]
    calls = [(path, name) for path, name in stack if path.is_relative_to(PACKAGE) and name != "<module>"]
    print(json.dumps([f"{path.relative_to(PACKAGE)}: {name}" for path, name in calls]), flush=True)
    os._exit(0)

Diffusion.training_step = training_step
from collapse_lab.cli.main import main
main()
"""
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


def test_the_first_training_step_is_at_most_12_calls_of_ours_below_the_command_line(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), *LINE, "device=cpu", f"paths.runs={tmp_path / 'runs'}"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)
    assert done.returncode == 0, done.stderr
    frames = json.loads(done.stdout.splitlines()[-1])
    trace = "\n".join(["", *frames])
    assert frames[0].endswith(": main"), trace
    assert frames[-1] == "engine/fitting.py: fit", trace
    assert len(frames) <= LIMIT, trace
