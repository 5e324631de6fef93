"""What stands beside the scripts of sweeps: the driver's job, and the search for a threshold."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from collapse_lab.cli.overrides import cells_of
from collapse_lab.config.composing import compose
from collapse_lab.errors import UserError

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "guide" / "sweeps.md"
FOLDER = Path(__file__).resolve().parents[1] / "multirun_scripts"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("threshold_ratio", FOLDER / "threshold_ratio.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("rises", [True, False], ids=["rises", "falls"])
@pytest.mark.parametrize("truth", [0.013, 0.37, 0.5, 0.94])
def test_a_threshold_is_found_to_a_part_in_a_hundred(example: ModuleType, truth: float, rises: bool) -> None:
    asked: list[float] = []

    def value(ratio: float) -> float:
        asked.append(ratio)
        return (ratio - truth) * (1 if rises else -1)

    low, high = example.threshold(value, 0.0)
    assert low <= truth <= high
    assert high - low == 2**-7
    assert len(asked) == 9


def test_a_bound_that_is_never_crossed_is_refused(example: ModuleType) -> None:
    with pytest.raises(UserError, match="on the same side of 5"):
        example.threshold(lambda ratio: ratio, 5.0)


def driver(*command: str) -> subprocess.CompletedProcess[str]:
    inside = {"SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "1", "SLURM_CONF": "/etc/s", "SBATCH_TIMELIMIT": "5"}
    environment = {"PATH": os.environ["PATH"], **inside, "COLLAPSE_LAB_GPUS": "1"}
    return subprocess.run(
        [str(FOLDER / "driver.sbatch"), *command], capture_output=True, text=True, env=environment, cwd=FOLDER
    )


def test_the_job_of_the_driver_hands_its_own_request_to_no_other_job() -> None:
    done = driver("env")
    assert done.returncode == 0
    names = {line.partition("=")[0] for line in done.stdout.splitlines()}
    assert {name for name in names if name.startswith(("SLURM", "SBATCH"))} == {"SLURM_CONF"}
    assert "COLLAPSE_LAB_GPUS" in names


def test_the_exit_code_is_that_of_the_sweep_and_a_command_has_to_be_given() -> None:
    assert driver("sh", "-c", "exit 3").returncode == 3
    done = driver()
    assert done.returncode == 2
    assert "give the command" in done.stderr


def test_the_files_of_the_document_are_yaml_and_start_cells_that_compose() -> None:
    kubernetes, sky = (
        yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    )
    pod = kubernetes["spec"]["template"]["spec"]
    assert (kubernetes["kind"], kubernetes["spec"]["completionMode"]) == ("Job", "Indexed")
    assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
    assert sky["resources"]["accelerators"] == "A100:4"
    for line in (pod["containers"][0]["args"][0].replace("$JOB_COMPLETION_INDEX", "2"), sky["run"]):
        words = [word for word in shlex.split(line)[1:] if word != "-m" and not word.startswith("hydra/")]
        assert compose(*cells_of(words)[-1]).root.seed == 2
