"""Run sweeps through a real SLURM of two nodes on this machine; skip them where start.sh cannot start it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.command import CHAIN, ROOT, entries, environment, ledger, run, timeless
from tests.e2e.test_processes import GONE, command_line, processes_with, start, wait_until_gone
from tests.nursery import Nursery

HERE = Path(__file__).resolve().parent
TINY = [*CHAIN, "generations=1", "metrics=[fid]"]
# Of a closed form, because such a job starts in half of the time: it imports no trainer
SHORT = ["model.estimator=ml", "model.replicas=10", "n_train=32", "mixing=contaminate", "store=all", "probes=[moments]"]
SHORT += ["generations=1", "device=cpu", "sinks=[]"]
PRESET = {"PARTITION": "tests", "CPUS": "2", "MINUTES": "7"}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Yield the environment variables that name the cluster and what the launcher asks of it."""
    missing = [name for name in ("sbatch", "slurmctld", "slurmd", "munged") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: apt-get install slurm-wlm munge")
    if os.geteuid() != 0:
        pytest.skip("only root can start SLURM's daemons")
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run([HERE / "start.sh", folder], capture_output=True, text=True, timeout=60)
    assert started.returncode == 0, started.stderr
    yield {
        "SLURM_CONF": str(folder / "slurm.conf"),
        **{f"COLLAPSE_LAB_{name}": value for name, value in PRESET.items()},
    }
    subprocess.run([HERE / "stop.sh", folder], check=True, timeout=60)


def logs(runs: Path) -> str:
    """Return what the jobs wrote, for the message of a failed assertion."""
    return "\n".join(f"{path}:\n{path.read_text()}" for path in sorted(runs.glob("sweeps/*/slurm/*/*_log.*")))


def jobs(runs: Path, cluster: dict[str, str]) -> list[dict[str, str]]:
    """Return the fields of each job of a sweep, as the cluster reports them."""
    command = ["scontrol", "--oneliner", "show", "job"]
    report = subprocess.run(command, capture_output=True, text=True, check=True, env=environment(**cluster))
    lines = [line for line in report.stdout.splitlines() if str(runs) in line]
    return [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]


def folders(runs: Path, name: str = "nepotistic") -> list[Path]:
    """Return the folders of the runs with a ledger, in the order of their ratios."""
    finished = [folder for folder in (runs / name).iterdir() if (folder / "ledger.jsonl").exists()]
    return sorted(finished, key=lambda folder: ledger(folder)[1]["counts"]["synthetic"])


def check_two_cells(runs: Path, out: str) -> None:
    """Check ratio=0 and ratio=0.5 of one seed: two ledgers, one shared fit of generation 0, one report."""
    cells = folders(runs, "recursive_gaussian")
    ledgers = [ledger(folder) for folder in cells]
    counts: list[Any] = [[line["counts"] for line in lines] for lines in ledgers]
    assert [[count["synthetic"] for count in cell] for cell in counts] == [[0, 0], [0, 16]]
    assert [cell[1]["real"] for cell in counts] == [32, 16]
    assert all([line["generation"] for line in lines] == [0, 1] for lines in ledgers)
    assert all(line["status"] == "ok" for lines in ledgers for line in lines)
    # One job did this fit for both cells, so both ledgers hold its wall time, equal to the last bit
    first, second = (lines[0] for lines in ledgers)
    assert (first["keys"]["fit"], first["seconds"]["fit"]) == (second["keys"]["fit"], second["seconds"]["fit"])
    assert len(entries(runs / ".store", "fit")) == 3
    (page,) = runs.glob("sweeps/*/report.html")
    assert all(folder.name in page.read_text() for folder in cells)
    assert f"report of 2 cells: {page}" in out


def test_a_script_starts_an_array_of_jobs_and_overrides_win_over_its_own(
    cluster: dict[str, str], tmp_path: Path
) -> None:
    script = ROOT / "multirun_scripts" / "recursive_gaussian.sh"
    done = subprocess.run(
        [script, "slurm", *SHORT, "ratio=0,0.5", "seed=0", f"paths.runs={tmp_path}"],
        capture_output=True,
        text=True,
        # Without a .venv in the checkout the script uses the `python` of the PATH, so put this one first
        env=environment(**cluster, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}"),
        stdin=subprocess.DEVNULL,
        timeout=500,  # because three jobs come one after the other, and each takes ten seconds to start
    )
    assert done.returncode == 0, done.stderr + logs(tmp_path)
    check_two_cells(tmp_path, done.stdout)
    both = jobs(tmp_path, cluster)
    cells = [job for job in both if "ArrayTaskId" in job]
    (shared,) = (job for job in both if job not in cells)
    assert sorted(job["ArrayTaskId"] for job in cells) == ["0", "1"]
    # Generation 0 was computed before a cell began, so that no cell waited for the lock of the other
    assert (shared["JobName"], shared["JobState"]) == ("recursive_gaussian-shared", "COMPLETED")
    assert all(shared["EndTime"] <= job["StartTime"] for job in cells)
    assert "waiting for another process" not in logs(tmp_path)
    assert {job["NodeList"] for job in cells} == {"n1", "n2"}
    for job in cells:
        assert (job["JobName"], job["Partition"], job["TimeLimit"]) == ("recursive_gaussian", "tests", "00:07:00")
        assert job["CPUs/Task"] == "2"


@pytest.mark.slow  # because the local launcher ends cells in the same way, and each job takes ten seconds to start
def test_a_failing_cell_does_not_stop_the_other_cells(cluster: dict[str, str], tmp_path: Path) -> None:
    done = run(["-m", *TINY, "ratio=0.00001,0.5", "hydra/launcher=slurm", f"paths.runs={tmp_path}"], **cluster)
    assert done.returncode == 2, done.stderr + logs(tmp_path)
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("failed:"))
    assert "ratio=1e-05:" in line
    assert "rounds to none" in line
    assert "Traceback" not in done.stderr
    (succeeded,) = folders(tmp_path)
    assert [line["counts"]["synthetic"] for line in ledger(succeeded)] == [0, 16]
    statuses = [json.loads(path.read_text())["status"] for path in sorted(tmp_path.glob("sweeps/*/cells/*.json"))]
    assert statuses == ["failed", "ok"]
    (page,) = tmp_path.glob("sweeps/*/report.html")
    assert succeeded.name in page.read_text()


@pytest.mark.slow  # because a job that is queued again begins after two minutes at the earliest
def test_jobs_that_are_preempted_at_random_moments_end_like_undisturbed_ones(
    cluster: dict[str, str], nursery: Nursery, tmp_path: Path
) -> None:
    runs, mark = tmp_path / "runs", f"slurm-preempt:{tmp_path}"
    line = ["-m", *TINY, "trainer.steps=300", "ratio=0,0.5"]
    quick = ["hydra/launcher=slurm", "hydra.launcher.poll_s=2", f"paths.runs={runs}"]
    process = start([*line, *quick], mark, **cluster)
    draw, sent = np.random.default_rng(61), 0
    try:
        while process.poll() is None:
            time.sleep(float(draw.uniform(5, 25)))
            for job in begin_now(runs, cluster):
                if job["JobState"] == "RUNNING" and sent < 10:
                    disturb(job, cluster, node_fails=sent % 3 == 2)
                    sent += 1
        assert process.returncode == 0, logs(runs)
    finally:
        process.kill()
    assert sent >= 3
    whole = nursery.run([*line, f"paths.runs={tmp_path / 'whole'}"])
    assert whole.code == 0, whole.err
    assert [timeless(one) for one in folders(runs)] == [timeless(one) for one in folders(tmp_path / "whole")]


def disturb(job: dict[str, str], cluster: dict[str, str], node_fails: bool) -> None:
    """Let a running job know that it will be preempted, or let the node fail that it runs on, and come back."""
    change = ["scontrol", "update", f"nodename={job['NodeList']}"]
    commands = [[*change, "state=down", "reason=test"], [*change, "state=resume"]]
    for command in commands if node_fails else [["scancel", "--signal=USR2", job["JobId"]]]:
        with suppress(
            subprocess.TimeoutExpired
        ):  # because scancel tries for minutes to reach a job that is on its way out
            subprocess.run(command, env=environment(**cluster), capture_output=True, timeout=5)
        time.sleep(1)


def begin_now(runs: Path, cluster: dict[str, str]) -> list[dict[str, str]]:
    """Let jobs begin that were queued again, which SLURM holds back for two minutes; return all jobs of the sweep."""
    present = jobs(runs, cluster)
    for job in present:
        if job["JobState"] == "PENDING":
            command = ["scontrol", "update", f"jobid={job['JobId']}", "StartTime=now"]
            subprocess.run(command, env=environment(**cluster), capture_output=True, timeout=60)
    return present


@pytest.mark.slow  # because the fit takes three minutes
@pytest.mark.timeout(3600)
def test_a_fit_three_times_as_long_as_its_jobs_limit_ends_like_an_undisturbed_one(
    cluster: dict[str, str], nursery: Nursery, tmp_path: Path
) -> None:
    runs, mark = tmp_path / "runs", f"slurm-limit:{tmp_path}"
    line = ["-m", *TINY, "trainer.steps=6000", "ratio=0.5"]
    asked = ["hydra/launcher=slurm", "hydra.launcher.poll_s=2", "hydra.launcher.signal_delay_s=10"]
    asked.append("hydra.launcher.max_num_timeout=60")  # because SLURM sends the signal up to half a minute early
    process = start([*line, *asked, f"paths.runs={runs}"], mark, **{**cluster, "COLLAPSE_LAB_MINUTES": "1"})
    restarts = 0
    try:
        while process.poll() is None:
            time.sleep(2)
            restarts = max([restarts, *(int(job["Restarts"]) for job in begin_now(runs, cluster))])
        assert process.returncode == 0, logs(runs)
    finally:
        process.kill()
    assert restarts >= 3, logs(runs)
    whole = nursery.run([*line, f"paths.runs={tmp_path / 'whole'}"])
    assert whole.code == 0, whole.err
    assert [timeless(one) for one in folders(runs)] == [timeless(one) for one in folders(tmp_path / "whole")]


@pytest.mark.slow  # because each job takes ten seconds to start, and the store does not know who runs a cell
@pytest.mark.parametrize("number", range(9))
def test_a_job_that_is_killed_costs_no_other_cell(
    cluster: dict[str, str], nursery: Nursery, tmp_path: Path, number: int
) -> None:
    runs, mark = tmp_path / "runs", f"slurm-kill:{tmp_path}"
    line = ["-m", *TINY, "ratio=0,0.5"]
    process = start([*line, "hydra/launcher=slurm", f"paths.runs={runs}"], mark, **cluster)
    try:
        kill_a_job(process, runs, mark, float(np.random.default_rng([60, number]).uniform(0, 6)))
        while any(job["JobState"] in ("PENDING", "RUNNING", "COMPLETING") for job in jobs(runs, cluster)):
            time.sleep(0.2)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=GONE)
        # Without accounting, as here, submitit does not learn that a job has died, and waits until it is interrupted
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) in (0, 1, 130)
    finally:
        process.kill()
    wait_until_gone(mark)
    again = nursery.run([*line, f"paths.runs={runs}"])
    assert again.code == 0, again.err + logs(runs)
    whole = nursery.run([*line, f"paths.runs={tmp_path / 'whole'}"])
    assert whole.code == 0, whole.err
    assert len(folders(runs)) == 2
    assert [timeless(one) for one in folders(runs)] == [timeless(one) for one in folders(tmp_path / "whole")]


def kill_a_job(process: subprocess.Popen[bytes], runs: Path, mark: str, seconds: float) -> None:
    """Kill one job of a sweep, some seconds after its first cell has begun."""
    while process.poll() is None and not list(runs.glob("sweeps/*/cells/*.line")):
        time.sleep(0.05)
    time.sleep(seconds)
    for pid in processes_with(mark):
        if b"submitit.core._submit" in command_line(pid):
            os.kill(pid, signal.SIGKILL)
            return
