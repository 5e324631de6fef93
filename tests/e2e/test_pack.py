from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.e2e.command import entries, ledger, run
from tests.nursery import Nursery

ONE = [
    "+experiment=feedback",
    "+scale=tiny",
    "features=[pixels]",
    "metrics=[fid]",
    "sinks=console",
    "device=cpu",
    "generations=1",
    "n_train=16",
    "n_samples=16",
    "trainer.steps=6",
    "model.sampler.steps=2",
    "model.channels=[8,16]",
    "model.norm_groups=4",
]
CELLS = ["-m", *ONE, "seed=0,1", "model.guidance_scale=1,2"]
PACK = [*CELLS, "trainer.pack=3"]


@pytest.fixture(scope="module")
def alone(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the runs of the same cells, each for itself, in float64."""
    runs = tmp_path_factory.mktemp("alone")
    end = nursery.run([*CELLS, f"paths.runs={runs}"], IN_DOUBLE="1")
    assert end.code == 0, end.err
    return runs


def check_equal(one: Path, other: Path) -> None:
    """Assert that names, files, counts and images are equal, and weights and metrics but for rounding in float64."""
    names = sorted(folder.name for folder in (one / "feedback").iterdir())
    assert names == sorted(folder.name for folder in (other / "feedback").iterdir())
    for name in names:
        folders = one / "feedback" / name, other / "feedback" / name
        assert folders[0].joinpath("config.yaml").read_bytes() == folders[1].joinpath("config.yaml").read_bytes()
        lines = ledger(folders[0]), ledger(folders[1])
        assert len(lines[0]) == len(lines[1]) == 2
        for mine, theirs in zip(*lines, strict=True):
            for key in ("generation", "model", "counts", "status", "keys", "features"):
                assert mine[key] == theirs[key]
            assert mine["metrics"] == pytest.approx(theirs["metrics"], rel=1e-9, abs=1e-9)
    assert entries(one / ".store").keys() == entries(other / ".store").keys()
    for key, folder in entries(one / ".store", "fit").items():
        mine, theirs = (load_file(each / "tensors.safetensors") for each in (folder, entries(other / ".store")[key]))
        assert {value.dtype for value in mine.values()} == {torch.float64}
        assert max(float((mine[name] - theirs[name]).abs().max()) for name in mine) < 1e-9
    for key, folder in entries(one / ".store", "sample").items():
        mine, theirs = (load_file(each / "tensors.safetensors") for each in (folder, entries(other / ".store")[key]))
        assert torch.equal(mine["data"], theirs["data"])


def test_packed_cells_come_out_as_if_each_had_run_alone(nursery: Nursery, tmp_path: Path, alone: Path) -> None:
    runs = tmp_path / "runs"
    end = nursery.run([*PACK, f"paths.runs={runs}"], stages=tmp_path / "log", IN_DOUBLE="1")
    assert end.code == 0, end.err
    assert "trainer.pack: " not in end.out  # nothing kept them from being packed
    check_equal(alone, runs)
    stages = (tmp_path / "log").read_text().splitlines()
    assert len(stages) == len(set(stages))
    assert sum(stage.startswith("fit/") for stage in stages) == 2 + 4  # generation 0 once for each seed
    assert "report of 4 cells" in end.out
    # Members share the time of their program: each would otherwise have the whole of it
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in entries(runs / ".store").values()]
    assert sum(manifest["seconds"] for manifest in manifests) < end.seconds
    # The very same command without packing finds everything done
    again = nursery.run([*CELLS, f"paths.runs={runs}"], stages=tmp_path / "again")
    assert again.out.count("already complete") == 4
    assert not (tmp_path / "again").exists()


@pytest.mark.slow  # because tests/e2e/test_kill.py kills cells, and members of a pack write the same stages
def test_killed_and_given_again(nursery: Nursery, tmp_path: Path, alone: Path) -> None:
    command = [*PACK, f"paths.runs={tmp_path}"]
    # In the fit of generation 1; one cell has yet to begin
    assert nursery.run(command, signal_at=(9, "advance", 40), IN_DOUBLE="1").code == -9
    assert len(entries(tmp_path / ".store", "fit")) == 2
    end = nursery.run(command, IN_DOUBLE="1")
    assert end.code == 0, end.err
    check_equal(alone, tmp_path)


def test_ctrl_c_ends_all_that_have_begun(nursery: Nursery, tmp_path: Path) -> None:
    end = nursery.run([*PACK, f"paths.runs={tmp_path}"], signal_at=(2, "advance", 7))
    assert end.code == 130
    assert "Traceback" not in end.err
    assert end.err.count("interrupted:") == 3
    assert not entries(tmp_path / ".store", "fit")


def test_one_that_fails_stops_no_other(nursery: Nursery, tmp_path: Path) -> None:
    changed = ["-m", *ONE, "seed=0,1", "mixing=contaminate", "ratio=0.5,0.00001", "trainer.pack=4"]
    end = nursery.run([*changed, f"paths.runs={tmp_path}"])
    assert end.code == 2
    assert "Traceback" not in end.err
    assert sum(line.startswith("failed:") and "ratio=1e-05" in line for line in end.err.splitlines()) == 2
    done = [folder for folder in (tmp_path / "feedback").iterdir() if (folder / "ledger.jsonl").exists()]
    assert [len(ledger(folder)) for folder in done] == [2, 2]


def test_one_that_diverges_leaves_the_others(nursery: Nursery, tmp_path: Path, alone: Path) -> None:
    """A guidance so strong that its images are no numbers ends its chain, in generation 0."""
    end = nursery.run(
        ["-m", *ONE, "seed=0", "model.guidance_scale=1,2,1.7e308", "trainer.pack=3", f"paths.runs={tmp_path}"],
        IN_DOUBLE="1",
    )
    assert end.code == 0, end.err
    found = {folder.name: [line["status"] for line in ledger(folder)] for folder in (tmp_path / "feedback").iterdir()}
    assert sorted(found.values()) == [["diverged"], ["ok", "ok"], ["ok", "ok"]]
    for name, statuses in found.items():
        if statuses == ["ok", "ok"]:
            lines = ledger(tmp_path / "feedback" / name), ledger(alone / "feedback" / name)
            for mine, theirs in zip(*lines, strict=True):
                assert mine["keys"] == theirs["keys"]
                assert mine["metrics"] == pytest.approx(theirs["metrics"], rel=1e-9, abs=1e-9)


def test_families_that_cannot_be_packed_take_turns(nursery: Nursery, tmp_path: Path) -> None:
    args = ["-m", "+experiment=recursive_gaussian", "sinks=[]", "model.replicas=10", "generations=1", "seed=0,1"]
    end = nursery.run([*args, "trainer.pack=2", "device=cpu", f"paths.runs={tmp_path}"])
    assert end.code == 0, end.err
    assert end.out.count("trainer.pack: Gaussian is no denoising model") == 1
    assert [len(ledger(folder)) for folder in (tmp_path / "recursive_gaussian").iterdir()] == [2, 2]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([*ONE, "trainer.pack=2"], "this is one run; give -m and what to sweep over"),
        ([*ONE, "trainer.pack=0"], "trainer.pack is 1 or more; got 0"),
        ([*CELLS, "trainer.pack=two"], "trainer.pack takes int; got 'two'"),
    ],
)
def test_where_it_cannot_be_it_is_refused(nursery: Nursery, tmp_path: Path, args: list[str], message: str) -> None:
    end = nursery.run([*args, f"paths.runs={tmp_path}"])
    assert end.code == 2
    assert message in end.err
    assert "Traceback" not in end.err
    assert not list(tmp_path.glob("feedback/*/ledger.jsonl"))


def test_cells_in_processes_of_their_own_are_refused(tmp_path: Path) -> None:
    done = run(["-m", *ONE, "trainer.pack=2", "hydra/launcher=local", f"paths.runs={tmp_path}"])
    assert done.returncode == 2
    assert "hydra/launcher=local starts a process for each; leave out one of the two" in done.stderr
