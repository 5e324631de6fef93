"""One run from the command line: what it prints, what it refuses in one line, and its exit codes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import yaml
from hydra.errors import ConfigCompositionException
from omegaconf.errors import MissingMandatoryValue

from collapse_lab.cli.run import INTERRUPTED, exit_codes
from collapse_lab.errors import UserError
from tests.e2e.command import CHAIN, contents, ledger, only_run
from tests.nursery import Nursery

TINY = [
    "+experiment=recursive_gaussian",
    "model.replicas=2",
    "generations=1",
    "n_train=8",
    "n_samples=8",
    "probes=[likelihood]",
    "device=cpu",
    "sinks=[]",
]
NAME = "recursive_gaussian"


def test_a_run_says_where_its_page_is_and_again_that_it_is_complete(nursery: Nursery, tmp_path: Path) -> None:
    line = [*TINY, f"paths.runs={tmp_path}"]
    first, second = nursery.run(line), nursery.run(["run", *line])
    assert (first.code, first.err, second.code, second.err) == (0, "", 0, "")
    folder = only_run(tmp_path, NAME)
    assert first.out.splitlines()[-1] == second.out.splitlines()[-1] == f"report: {folder / 'report.html'}"
    assert "already complete" not in first.out
    assert second.out.startswith(f"already complete: {folder}\n")
    assert len(ledger(folder)) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["raito=0.1"], "unknown key 'raito'; did you mean 'ratio'?"),
        (["+experiment=nepotisic"], "unknown value 'nepotisic' of experiment; did you mean 'nepotistic'?"),
        (["seed=-1"], "seed is 0 or more; got -1"),
        (["seed=nan"], "seed takes a finite number; got nan"),
        (["model.replicas=0"], "model.replicas is 1 or more; got 0"),
        (["model.estimator=mle"], "model.estimator is one of unbiased, ml; got 'mle': did you mean 'ml'?"),
        (["mixing=contaminate", "ratio=2"], "between 0 and 1; got 2 (did you mean 0.02?)"),
        (["trainer.pack=2"], "trainer.pack=2 fits the cells of a sweep as one program, and this is one run"),
        (["features=[pixels"], "'features=[pixels' cannot be read as KEY=VALUE"),
        (["seed=0,1"], "--multirun"),
        (["store.keep=last", "mixing=accumulate"], "store.keep=last drops them; give store.keep=all"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_is_wrong_is_refused_in_one_line_with_exit_code_2(
    nursery: Nursery, tmp_path: Path, arguments: list[str], message: str
) -> None:
    end = nursery.run([*TINY, f"paths.runs={tmp_path}", *arguments])
    assert end.code == 2, end.err
    (line,) = end.err.splitlines()
    assert line.startswith("collapse_lab: ")
    assert message in line
    assert end.out == ""
    assert not list(tmp_path.rglob("*.jsonl"))


def test_a_dry_run_prints_the_plan_and_leaves_nothing(nursery: Nursery, tmp_path: Path) -> None:
    line = [*TINY, f"paths.runs={tmp_path / 'runs'}"]
    dry = nursery.run([*line, "dry_run=true"])
    assert (dry.code, dry.err) == (0, "")
    rows = [row.replace("│", " ").split() for row in dry.out.splitlines() if row.startswith("│")]
    assert [row[:6] for row in rows] == [["0", "model", "8", "0", "to", "do"], ["1", "model", "0", "8", "to", "do"]]
    assert "4 stages would run, 0 are in the store; nothing was computed" in dry.out
    assert not (tmp_path / "runs").exists()
    assert nursery.run(line).code == 0
    before = contents(tmp_path / "runs")
    after = nursery.run([*line, "dry_run=true"])
    assert "stored" in after.out
    assert contents(tmp_path / "runs") == before


@pytest.mark.parametrize("launcher", ["basic", "local", "joblib", "ray", "slurm"])
def test_a_dry_run_of_a_sweep_starts_nothing_on_any_launcher(launcher: str, nursery: Nursery, tmp_path: Path) -> None:
    """Commands of a cluster that leave a file where they are called stand for SLURM."""
    cluster, runs = tmp_path / "bin", tmp_path / "runs"
    cluster.mkdir()
    for name in ("sbatch", "srun", "squeue", "scancel"):
        (cluster / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/called\nexit 1\n")
        (cluster / name).chmod(0o755)
    tiny = [word for word in TINY if not word.startswith("generations")]
    line = ["-m", *tiny, "generations=1,2", "dry_run=true", f"hydra/launcher={launcher}", f"paths.runs={runs}"]
    settings = ["hydra.launcher.partition=gpu", "hydra.launcher.mem_gb=8"] if launcher == "slurm" else []
    dry = nursery.run([*line, *settings], PATH=f"{cluster}:{os.environ['PATH']}")
    assert (dry.code, dry.err) == (0, "")
    assert "2 cells, 0 complete; 6 of 6 stages to do" in dry.out
    assert f"hydra/launcher={launcher} started nothing; nothing was computed or submitted" in dry.out
    assert not (tmp_path / "called").exists()
    assert list(runs.rglob("*")) == []
    assert ("3 jobs would be submitted" in dry.out) == (launcher == "slurm")
    if launcher == "slurm":
        first, second, given, unsaid = dry.out.splitlines()[-5:-1]
        assert first == "  wave 1: 1 job for 2 stages that cells share"
        assert second == "  wave 2: 2 cells in 1 array of jobs, each after the jobs of what it shares"
        assert "partition=gpu" in given
        assert "timeout_min=240" in given
        assert "mem_gb=8" in given
        assert unsaid == "  the cluster's own default for: GPUs, CPUs"


def test_a_launcher_of_ones_own_is_one_of_ours_with_other_values(nursery: Nursery, tmp_path: Path) -> None:
    place = tmp_path / "mine/hydra/launcher/mycluster.yaml"
    place.parent.mkdir(parents=True)
    place.write_text("defaults: [slurm]\npartition: long\ntimeout_min: 720\n")
    line = [*TINY, "seed=0,1", "dry_run=true", "hydra/launcher=mycluster", f"paths.runs={tmp_path / 'runs'}"]
    dry = nursery.run(["-m", f"--config-dir={tmp_path / 'mine'}", *line])
    assert (dry.code, dry.err) == (0, "")
    assert "sbatch gets for each job: partition=long, nodes=1, tasks_per_node=1, timeout_min=720" in dry.out
    assert "hydra/launcher=mycluster started nothing" in dry.out


def test_a_dry_run_of_a_sweep_names_the_cells_that_would_fail(nursery: Nursery, tmp_path: Path) -> None:
    dry = nursery.run(["-m", *TINY, "n_samples=8,1", "dry_run=true", f"paths.runs={tmp_path}"])
    assert dry.code == 2
    assert "1 cell, 0 complete" in dry.out
    (refused,) = [line for line in dry.err.splitlines() if line.startswith("refused: ")]
    assert "n_samples=1" in refused
    assert "n_samples is 2 or more; got 1" in refused
    assert "lost" not in dry.out + dry.err


def test_ctrl_c_is_one_line_and_exit_code_130(nursery: Nursery, tmp_path: Path) -> None:
    end = nursery.run([*CHAIN, "metrics=[fid]", f"paths.runs={tmp_path}"], signal_at=(signal.SIGINT, "advance", 3))
    assert end.code == 130
    assert end.err.splitlines()[-1] == f"collapse_lab: {INTERRUPTED}"
    assert "Traceback" not in end.err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, INTERRUPTED),
        (UserError("no such thing; give another"), 2, "no such thing; give another"),
        (ConfigCompositionException("In 'x': Could not find 'model/gausian'"), 2, "did you mean 'gaussian'?"),
        (MissingMandatoryValue("Missing mandatory value: dataset.root"), 2, "dataset.root has to be given"),
        (yaml.YAMLError("line 3:\n  torn"), 2, "line 3: torn"),
        (ValueError("Only one of --cfg and --multirun"), 2, "Only one of --cfg and --multirun"),
        (
            PermissionError(13, "Permission denied", "/runs"),
            2,
            "cannot write to /runs (Permission denied); give another",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_what_ends_a_launch_is_one_line_and_an_exit_code(
    error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end, exit_codes():
        raise error
    assert end.value.code == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("collapse_lab: ")
    assert message in line


def test_an_error_of_our_own_code_keeps_its_traceback() -> None:
    def task() -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"), exit_codes():
        task()
    with pytest.raises(RuntimeError, match="no bad input"), exit_codes():
        raise RuntimeError("no bad input")


def test_a_launch_that_ends_well_has_no_exit_code() -> None:
    with exit_codes():
        pass
