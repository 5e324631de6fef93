"""A fit that is killed again and again, at moments that nobody chose, ends with the weights of one that is not."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.command import ROOT, environment

# It says when everything is imported, then a sum of the weights and how many steps it has computed
PROGRAM = """
import hashlib, sys
from pathlib import Path

from tests.engine.test_checkpoint import ALWAYS, CASES, fit, kept_at

CASES[sys.argv[1]].build()  # so that nothing is written or imported for the first time later
print("ready", flush=True)
weights, computed = fit(sys.argv[1], kept_at(Path(sys.argv[2]), ALWAYS), steps=30)
sha = hashlib.sha256()
for name, value in sorted(weights.items()):
    sha.update(name.encode() + value.contiguous().numpy().tobytes())
print(sha.hexdigest(), computed, flush=True)
"""


def run(name: str, folder: Path, kill_after: float | None = None) -> tuple[str, int, float] | None:
    """Fit in a process of its own.

    Returns:
        The sum of the weights, the number of steps that were computed, and the seconds; None where it was killed.
    """
    command = [sys.executable, "-c", PROGRAM, name, str(folder)]
    # Because a process that is killed leaves its temporary files behind, they lie in the folder of the test
    own = environment(TMPDIR=str(folder.parent))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=own, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        begun = time.perf_counter()
        if kill_after is not None:
            time.sleep(kill_after)
            process.kill()
        said = process.stdout.read().split()
        seconds = time.perf_counter() - begun
    if len(said) < 2:
        assert process.returncode == -9
        return None
    return said[0], int(said[1]), seconds


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["ddpm", "text2image", "vae", "stable_diffusion", "latent_diffusion, U-Net", "causal_lm"]
)
def test_kill_9_at_random_moments_of_a_fit(name: str, tmp_path: Path) -> None:
    undisturbed = run(name, tmp_path / "undisturbed")
    assert undisturbed is not None
    whole, steps, seconds = undisturbed
    assert steps == 30
    # Not up to the end, because a process that goes on ends sooner than the undisturbed one
    moments = iter(np.random.default_rng(5).uniform(0, 0.7 * seconds, 100))
    kills = trial = saved = 0
    while kills < 4:
        end = run(name, tmp_path / str(trial), next(moments))
        if end is None:
            kills += 1
            continue
        assert end[0] == whole  # it got there in spite of its kills: the next kills are another trial's
        saved += steps - end[1]
        trial += 1
    end = run(name, tmp_path / str(trial))
    assert end is not None
    assert end[0] == whole
    saved += steps - end[1]
    assert saved > 0
    assert [path.name for path in (tmp_path / str(trial) / ".checkpoints").glob("*.draft")] == []
