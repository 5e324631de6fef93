"""Jobs of what cells share: no stage twice, and no job beside another whose stage it reads."""

from __future__ import annotations

import itertools
import pickle
import random
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.utils import JobStatus

from collapse_lab.cli.launchers.dry import submission
from collapse_lab.cli.launchers.waves import Place, after, ancestors
from collapse_lab.cli.sweep import Cell
from collapse_lab.engine.outcome import Outcome
from collapse_lab.errors import UserError

REAL, FIT, LATER = ("features", "real"), ("fit", "0"), ("fit", "1")


def cell(seed: int, ratio: int) -> list[Place]:
    """Return the stages of a cell: the features of the real data, generation 0 of its seed, and its own."""
    return [REAL, ("fit", f"0-{seed}"), ("sample", f"0-{seed}"), ("fit", f"1-{seed}-{ratio}")]


def test_what_all_cells_share_comes_first_and_then_generation_0_of_each_seed() -> None:
    cells = [cell(seed, ratio) for seed in range(3) for ratio in range(5)]
    first, *seeds = ancestors(cells)
    assert (first.stages, first.after, len(first.cells)) == ((REAL,), (), 15)
    assert [job.stages for job in seeds] == [(("fit", f"0-{s}"), ("sample", f"0-{s}")) for s in range(3)]
    assert [job.after for job in seeds] == [(0,)] * 3
    assert after([first, *seeds], 15) == {(0, 1 + s): list(range(5 * s, 5 * s + 5)) for s in range(3)}


def test_cells_that_share_nothing_begin_at_once() -> None:
    assert ancestors([[FIT], [LATER], []]) == []
    assert after([], 3) == {(): [0, 1, 2]}


@pytest.mark.parametrize("seed", range(20))
def test_no_stage_is_computed_twice_and_no_job_waits_for_a_lock(seed: int) -> None:
    """Cells with random shared stages; the witness is the definition itself, pair by pair."""
    draw = random.Random(seed)
    stages = [("fit", str(number)) for number in range(12)]
    cells: list[Sequence[Place]] = [[s for s in stages if draw.random() < 0.4] for _ in range(6)]
    jobs = ancestors(cells)
    computed = [place for job in jobs for place in job.stages]
    shared = {place for one, two in itertools.combinations(cells, 2) for place in one if place in two}
    assert sorted(computed) == sorted(shared)
    for number, job in enumerate(jobs):
        assert all(place < number for place in job.after)
        assert job.after == tuple(n for n, other in enumerate(jobs) if n != number and other.cells > job.cells)
    for places, numbers in after(jobs, len(cells)).items():
        for one in numbers:
            needed = {place for place in cells[one] if place in shared}
            assert needed == {place for job in places for place in jobs[job].stages}


def test_a_dry_run_says_the_jobs_in_the_order_in_which_they_would_begin() -> None:
    """Fifteen cells: a job of what all share, one for each of three seeds, and the cells of a seed in two arrays."""
    cells = [cell(seed, ratio) for seed in range(3) for ratio in range(5)]
    settings = {"_target_": "x", "chunk": 3, "partition": "gpu", "timeout_min": 60, "gres": "gpu:1", "qos": None}
    assert list(submission(cells, settings, waves=True)) == [
        "19 jobs would be submitted:",
        "  wave 1: 1 job for 1 stage that cells share",
        "  wave 2: 3 jobs for 6 stages that cells share, after the wave before",
        "  wave 3: 15 cells in 6 arrays of jobs, each after the jobs of what it shares",
        "  sbatch gets for each job: partition=gpu, timeout_min=60, gres=gpu:1",
        "  the cluster's own default for: memory, CPUs",
    ]
    assert list(submission(cells, settings, waves=False))[:2] == [
        "15 jobs would be submitted:",
        "  wave 1: 15 cells in 5 arrays of jobs",
    ]


@pytest.fixture
def launcher(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    pytest.importorskip("submitit")
    from omegaconf import OmegaConf

    from collapse_lab.cli.launchers.slurm import SlurmLauncher

    made = SlurmLauncher(waves=False, submitit_folder=str(tmp_path), max_num_timeout=0, name="x", partition="p")
    made.config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path / "sweep")}}, "dry_run": False})
    return made


def test_a_machine_without_sbatch_is_told_where_to_go(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="there is none on the PATH; give this command on a login node"):
        launcher.launch([["seed=0"]], 0)
    assert not (tmp_path / "sweep").exists()


def commands(folder: Path, monkeypatch: pytest.MonkeyPatch, **bodies: str) -> None:
    """Put commands of a cluster into the PATH that do what a shell script says."""
    for name, body in {"srun": "exit 0", **bodies}.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    assert shutil.which("sbatch") == str(folder / "sbatch")


def test_what_sbatch_refuses_is_said_and_nothing_stays_submitted(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = "sbatch: error: invalid partition specified: p"
    commands(tmp_path, monkeypatch, sbatch=f"echo '{said}' >&2; exit 1", scancel=f"echo $@ > {tmp_path}/cancelled")
    with pytest.raises(UserError, match=rf"sbatch refuses a job \({said}\); correct what hydra.launcher"):
        launcher.launch([["seed=0"], ["seed=1"]], 0)
    assert not (tmp_path / "cancelled").exists()
    launcher._chunk = 1
    once = f"[ -e {tmp_path}/one ] && exit 1; touch {tmp_path}/one; echo Submitted batch job 7"
    commands(tmp_path, monkeypatch, sbatch=once, scancel=f"echo $@ > {tmp_path}/cancelled")
    with pytest.raises(UserError, match="sbatch refuses a job"):
        launcher.launch([["seed=0"], ["seed=1"]], 0)
    assert (tmp_path / "cancelled").read_text() == "7\n"


@pytest.mark.parametrize(
    "said",
    [
        "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
        "sbatch: error: get_addr_info: getaddrinfo() failed: Unknown host",
    ],
)
def test_a_controller_that_cannot_be_reached_is_no_fault_of_the_settings(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str
) -> None:
    commands(tmp_path, monkeypatch, sbatch=f"echo '{said}' >&2; exit 1")
    with pytest.raises(UserError, match=r"^the controller of the cluster cannot be reached \(.*give the same command"):
        launcher.launch([["seed=0"]], 0)


def test_a_job_that_leaves_the_queue_without_a_result_is_lost_and_the_others_are_not(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    launcher._poll_s = 0.01
    commands(tmp_path, monkeypatch, sbatch="echo Submitted batch job 7", squeue="exit 0")
    sweep = tmp_path / "sweep"
    done = Cell(sweep, 0, ("seed=0",))
    done.begin()
    done.finish("ok")
    monkeypatch.setattr("submitit.core.core.Job._results_timeout_s", 0, raising=False)
    first, second = launcher.launch([["seed=0"], ["seed=1"]], 0)
    assert first.status == JobStatus.COMPLETED  # because an earlier launch ran it
    assert second.status == JobStatus.FAILED
    lost = Outcome.read(sweep / "cells" / "0001.json")
    assert lost.status == "lost"
    assert "its job 7 ended without a result" in lost.reason
    assert (sweep / "cells" / "0001.line").read_text() == "seed=1"


def test_a_queue_that_does_not_answer_loses_no_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    from collapse_lab.cli.launchers.slurm import _queued

    commands(
        tmp_path, monkeypatch, sbatch="exit 0", squeue="echo 'slurm_load_jobs error: Unable to contact' >&2; exit 1"
    )
    assert _queued(["7_0", "7_1"]) is None
    commands(tmp_path, monkeypatch, sbatch="exit 0", squeue="echo '7_0 Priority'; echo '7_1 None'")
    assert _queued(["7_0", "7_1"]) == {"7_0": "Priority", "7_1": "None"}
    commands(tmp_path, monkeypatch, sbatch="exit 0", squeue="echo 'Invalid job id specified' >&2; exit 1")
    assert _queued(["7_0"]) == {}
    monkeypatch.setattr(subprocess, "run", _never)
    assert _queued(["7_0"]) is None


def _never(*_: object, **__: object) -> None:
    raise subprocess.TimeoutExpired("squeue", 60)


def test_a_job_is_queued_again_once_however_often_it_is_asked_to_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("submitit")
    from collapse_lab.cli.launchers.jobs import Leaving

    for name, value in {"SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "7", "SUBMITIT_FOLDER": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    torn = tmp_path / "7_submitted.pkl.save_tmp"
    torn.touch()  # of a process that was killed while it wrote, which would stop submitit from ever writing again
    leaving = Leaving()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        leaving.begin()
        # SLURM ends what the job has started too, so what queues it again must not end by that
        subprocess.run(["sh", "-c", "kill -TERM $$"], check=True)
        assert not torn.exists()
        with pytest.raises(SystemExit):
            leaving.begin()
        pickle.loads(pickle.dumps(leaving)).begin()  # in the process that begins again
    finally:
        signal.signal(signal.SIGTERM, handler)
