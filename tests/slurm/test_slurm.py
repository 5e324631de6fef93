"""Sweeps through a real SLURM: two nodes on this machine, started by start.sh; skipped where it cannot be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command import CHAIN, ROOT, entries, environment, ledger, run

HERE = Path(__file__).resolve().parent
TINY = [*CHAIN, "generations=1", "metrics=[fid]"]
PRESET = {"PARTITION": "tests", "CPUS": "2", "MINUTES": "7"}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What the environment needs for a command to find the cluster and the preset its fields."""
    missing = [name for name in ("sbatch", "slurmctld", "slurmd", "munged") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: apt-get install slurm-wlm munge")
    if os.geteuid() != 0:
        pytest.skip("only root can start SLURM's daemons")
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run([HERE / "start.sh", folder], capture_output=True, text=True, timeout=60)
    assert started.returncode == 0, started.stderr
    yield {"SLURM_CONF": str(folder / "slurm.conf"), **{f"COLLAPSE_LAB_{name}": each for name, each in PRESET.items()}}
    subprocess.run([HERE / "stop.sh", folder], check=True, timeout=60)


def logs(runs: Path) -> str:
    """What the jobs wrote, to tell why one failed."""
    return "\n".join(f"{path}:\n{path.read_text()}" for path in sorted(runs.glob("sweeps/*/slurm/*/*_log.*")))


def jobs(runs: Path, cluster: dict[str, str]) -> list[dict[str, str]]:
    """The cells of a sweep as the cluster knows them."""
    command = ["scontrol", "--oneliner", "show", "job"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=environment(**cluster))
    lines = [line for line in shown.stdout.splitlines() if str(runs) in line]
    return [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]


def folders(runs: Path) -> list[Path]:
    """The finished runs, in the order of their ratios."""
    found = [folder for folder in (runs / "nepotistic").iterdir() if (folder / "ledger.jsonl").exists()]
    return sorted(found, key=lambda folder: ledger(folder)[1]["counts"]["synthetic"])


def check_two_cells(runs: Path, out: str) -> None:
    """ratio=0 and ratio=0.5 of one seed: both ledgers, generation 0 in common, one report."""
    cells = folders(runs)
    lines = [ledger(folder) for folder in cells]
    counts: list[Any] = [[line["counts"] for line in each] for each in lines]
    assert [[count["synthetic"] for count in each] for each in counts] == [[0, 0], [0, 16]]
    assert [each[1]["real"] for each in counts] == [32, 16]
    assert all([line["generation"] for line in each] == [0, 1] for each in lines)
    assert all(line["status"] == "ok" for each in lines for line in each)
    # The very same fit: its wall time, to the last bit, is that of the one job which did it
    first, second = (each[0] for each in lines)
    assert (first["keys"]["fit"], first["seconds"]["fit"]) == (second["keys"]["fit"], second["seconds"]["fit"])
    assert len(entries(runs / ".store", "fit")) == 3
    (page,) = runs.glob("sweeps/*/report.html")
    assert all(folder.name in page.read_text() for folder in cells)
    assert f"report of 2 cells: {page}" in out


def test_a_sweep_is_an_array_of_jobs(cluster: dict[str, str], tmp_path: Path) -> None:
    done = run(["-m", *TINY, "ratio=0,0.5", "hydra/launcher=slurm", f"paths.runs={tmp_path}"], **cluster)
    assert done.returncode == 0, done.stderr + logs(tmp_path)
    check_two_cells(tmp_path, done.stdout)
    asked = jobs(tmp_path, cluster)
    assert sorted(job["ArrayTaskId"] for job in asked) == ["0", "1"]
    assert {job["NodeList"] for job in asked} == {"n1", "n2"}
    for job in asked:
        assert (job["JobName"], job["Partition"], job["TimeLimit"]) == ("nepotistic", "tests", "00:07:00")
        assert job["CPUs/Task"] == "2"


def test_a_script_takes_later_overrides(cluster: dict[str, str], tmp_path: Path) -> None:
    script = ROOT / "multirun_scripts" / "nepotistic_dose_response.sh"
    own = [override for override in TINY if not override.startswith("+experiment")]
    done = subprocess.run(
        [script, "slurm", *own, "ratio=0,0.5", "seed=0", f"paths.runs={tmp_path}"],
        capture_output=True,
        text=True,
        # Without a .venv in the checkout the script takes the `python` of the PATH
        env=environment(**cluster, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}"),
        stdin=subprocess.DEVNULL,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr + logs(tmp_path)
    check_two_cells(tmp_path, done.stdout)


def test_a_failing_cell_stops_no_other(cluster: dict[str, str], tmp_path: Path) -> None:
    done = run(["-m", *TINY, "ratio=0.00001,0.5", "hydra/launcher=slurm", f"paths.runs={tmp_path}"], **cluster)
    assert done.returncode == 2, done.stderr + logs(tmp_path)
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("failed:"))
    assert "ratio=1e-05:" in line
    assert "rounds to none" in line
    assert "Traceback" not in done.stderr
    (good,) = folders(tmp_path)
    assert [line["counts"]["synthetic"] for line in ledger(good)] == [0, 16]
    told = [json.loads(path.read_text())["status"] for path in sorted(tmp_path.glob("sweeps/*/cells/*.json"))]
    assert told == ["failed", "ok"]
    (page,) = tmp_path.glob("sweeps/*/report.html")
    assert good.name in page.read_text()
