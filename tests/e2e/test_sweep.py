from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from collapse_lab.config.composing import VERSION_BASE
from collapse_lab.config.searchpath import CONF
from tests.e2e.command import CHAIN, entries, ledger
from tests.nursery import Nursery

NAME = "recursive_gaussian"  # a closed form, because a sweep does not care what its cells compute
ARGS = ["-m", f"+experiment={NAME}", "model.replicas=10", "n_train=32", "generations=1", "mixing=contaminate"]
ARGS += ["store=all", "sinks=console", "device=cpu"]


def check_sweep(runs: Path, out: str) -> None:
    """Two ratios by two seeds: generation 0 once for each seed, and one report that names every cell."""
    fits = [json.loads((f / "manifest.json").read_text())["fields"] for f in entries(runs / ".store", "fit").values()]
    assert sorted(fit["seeds"][:2] for fit in fits) == [[0, 0], [0, 1], [0, 1], [1, 0], [1, 1], [1, 1]]
    folders = sorted((runs / NAME).iterdir())
    assert len(folders) == 4
    first = [ledger(folder)[0] for folder in folders]
    # The very same fit: its wall time, to the last bit, is that of the one process which did it
    assert len({(line["keys"]["fit"], line["seconds"]["fit"]) for line in first}) == 2
    assert sorted(ledger(folder)[1]["counts"]["synthetic"] for folder in folders) == [0, 0, 16, 16]
    (page,) = runs.glob("sweeps/*/report.html")
    assert all(folder.name in page.read_text() for folder in folders)
    assert f"report of 4 cells: {page}" in out


def test_one_after_another_and_again(nursery: Nursery, tmp_path: Path) -> None:
    log, line = tmp_path / "log", [*ARGS, "ratio=0,0.5", "seed=0,1", f"paths.runs={tmp_path / 'runs'}"]
    end = nursery.run(line, stages=log)
    assert end.code == 0, end.err
    check_sweep(tmp_path / "runs", end.out)
    stages = log.read_text().splitlines()
    assert len(stages) == len(set(stages))
    assert sum(stage.startswith("fit/") for stage in stages) == 6
    again = nursery.run(line, stages=tmp_path / "second")
    assert again.code == 0, again.err
    assert again.out.count("already complete") == 4
    assert not (tmp_path / "second").exists()


def test_side_by_side(nursery: Nursery, tmp_path: Path) -> None:
    end = nursery.run([*ARGS, "hydra/launcher=local", "ratio=0,0.5", "seed=0,1", f"paths.runs={tmp_path}"])
    assert end.code == 0, end.err
    check_sweep(tmp_path, end.out)


def test_a_failing_cell_stops_no_other(nursery: Nursery, tmp_path: Path) -> None:
    # One is refused by its type alone, one once the rows are counted
    end = nursery.run([*ARGS, "ratio=1.5,0.00001,0.5", f"paths.runs={tmp_path}"])
    assert end.code == 2
    assert "Traceback" not in end.err
    lines = end.err.splitlines()
    assert any(line.startswith("failed:") and "ratio=1.5:" in line and "between 0 and 1" in line for line in lines)
    assert any(line.startswith("failed:") and "ratio=1e-05:" in line and "rounds to none" in line for line in lines)
    assert sum(line.startswith("failed:") for line in lines) == 2
    (page,) = tmp_path.glob("sweeps/*/report.html")
    (good,) = [f for f in (tmp_path / NAME).iterdir() if (f / "ledger.jsonl").exists()]
    assert good.name in page.read_text()
    assert [line["counts"]["synthetic"] for line in ledger(good)] == [0, 16]


def test_the_preset_for_slurm_reads_its_fields_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"PARTITION": "short", "ACCOUNT": "lab", "GPUS": "1", "CPUS": "3", "MEMORY_GB": "9", "MINUTES": "50"}
    for name, value in asked.items():
        monkeypatch.setenv(f"COLLAPSE_LAB_{name}", value)
    with initialize_config_dir(str(CONF), version_base=VERSION_BASE):
        cfg = compose("config", [*CHAIN, "hydra/launcher=slurm", "paths.runs=here"], return_hydra_config=True)
    launcher: Any = OmegaConf.create(OmegaConf.to_container(cfg.hydra.launcher, resolve=True))
    assert launcher._target_.endswith("SlurmLauncher")
    assert (launcher.partition, launcher.account, launcher.gpus_per_node) == ("short", "lab", 1)
    assert (launcher.cpus_per_task, launcher.mem_gb, launcher.timeout_min) == (3, 9, 50)
    assert launcher.array_parallelism == 64
    assert launcher.submitit_folder.startswith("here/sweeps/")
