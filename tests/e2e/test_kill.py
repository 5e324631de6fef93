"""Ended at any moment and started again, a run comes to what it would have been."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, SIGUSR2

import numpy as np
import pytest

from collapse_lab.storage.formats import ENVIRONMENT
from tests.e2e.command import CHAIN, only_run, tensors, timeless
from tests.nursery import Nursery

# With a curated stage, so that every kind of stage is there; with few metrics, so that it is short
ARGS = [*CHAIN, "ratio=0.5", "curation=histogram", "metrics=[fid,agreement]"]


@dataclass(frozen=True)
class Whole:
    runs: Path
    seconds: float


@pytest.fixture(scope="module")
def whole(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The chain that nothing has disturbed."""
    runs = tmp_path_factory.mktemp("whole")
    end = nursery.run([*ARGS, f"paths.runs={runs}"])
    assert end.code == 0, end.err
    return Whole(runs, end.seconds)


def check_same(runs: Path, whole: Whole) -> None:
    assert timeless(only_run(runs)) == timeless(only_run(whole.runs))
    assert tensors(runs / ".store") == tensors(whole.runs / ".store")
    grids = [{p.name: p.read_bytes() for p in only_run(r).glob("grids/seen/*.png")} for r in (runs, whole.runs)]
    assert grids[0] == grids[1]
    assert (only_run(runs) / "report.html").read_text().rstrip().endswith("</html>")


@pytest.mark.parametrize("wanted", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_kill_9_at_random_moments(nursery: Nursery, whole: Whole, tmp_path: Path, wanted: int) -> None:
    command = [*ARGS, "trainer.checkpoint_minutes=0.0005"]  # so that kills fall between checkpoints and amidst them
    moments = iter(np.random.default_rng(wanted).uniform(0, whole.seconds, 400))
    kills = trials = 0
    while kills < wanted:
        end = nursery.run([*command, f"paths.runs={tmp_path / str(trials)}"], kill_after=next(moments))
        if end.code == 0:  # it got there in spite of its kills: the next kills are another trial's
            check_same(tmp_path / str(trials), whole)
            trials += 1
        else:
            assert end.code == -SIGKILL, end.err
            kills += 1
    end = nursery.run([*command, f"paths.runs={tmp_path / str(trials)}"])
    assert end.code == 0, end.err
    check_same(tmp_path / str(trials), whole)


# Moments too short for a clock to find, in an order in which each is still to come after the one before
MOMENTS = [
    ("settle", 1),  # the folder is there, and what it is for is not written yet
    ("advance", 5),  # amidst the first fit
    ("fsync", 1),  # amidst a commit: the tensors are written, the manifest is not
    ("rename", 1),  # all is written, and not yet under its name
    ("fsync", 5),  # under its name, and the folder above not synced
    ("start", 2),  # the samples are due
    ("measure", 1),
    ("grid", 1),
    ("write/2", 1),  # one half of a line of the ledger
    ("fsync", 40),
    ("rename", 7),
    ("write/2", 1),
    ("report", 1),  # the ledger is complete
]


def test_kill_9_at_the_moments_that_count(nursery: Nursery, whole: Whole, tmp_path: Path) -> None:
    for call, nth in MOMENTS:
        end = nursery.run([*ARGS, f"paths.runs={tmp_path}"], signal_at=(SIGKILL, call, nth))
        assert end.code == -SIGKILL, (call, nth, end.err)
    end = nursery.run([*ARGS, f"paths.runs={tmp_path}"])
    assert end.code == 0, end.err
    check_same(tmp_path, whole)
    torn = (only_run(tmp_path) / "ledger.torn").read_text().splitlines()
    assert all(line.startswith('{"generation"') for line in torn)
    assert len(torn) == 2


def test_kill_9_amidst_writing_what_the_run_is(nursery: Nursery, whole: Whole, tmp_path: Path) -> None:
    for nth in (1, 2):  # in the first file, and then in the second one
        end = nursery.run([*ARGS, f"paths.runs={tmp_path}"], signal_at=(SIGKILL, "save/2", nth))
        assert end.code == -SIGKILL, end.err
    end = nursery.run([*ARGS, f"paths.runs={tmp_path}"])
    assert end.code == 0, end.err
    check_same(tmp_path, whole)
    assert (only_run(tmp_path) / ENVIRONMENT).exists()


def test_ctrl_c_ends_cleanly_and_goes_on(nursery: Nursery, whole: Whole, tmp_path: Path) -> None:
    for call, nth in [("settle", 1), ("advance", 5), ("fsync", 2), ("start", 2), ("measure", 2), ("grid", 1)]:
        end = nursery.run([*ARGS, f"paths.runs={tmp_path}"], signal_at=(SIGINT, call, nth))
        assert end.code == 130, (call, end.err)
        assert "Traceback" not in end.err
        assert end.err.splitlines()[-1].startswith("collapse_lab: stopped.")
        assert "the same command goes on" in end.err
    end = nursery.run([*ARGS, f"paths.runs={tmp_path}"])
    assert end.code == 0, end.err
    check_same(tmp_path, whole)


def checkpoints(runs: Path) -> list[str]:
    """Return the kinds of the stages that have a checkpoint."""
    return [path.name.partition("-")[0] for path in (runs / ".store" / ".checkpoints").glob("*")]


@pytest.mark.parametrize(
    ("number", "code", "minutes"),
    [
        pytest.param(SIGTERM, 130, "10", id="SIGTERM"),
        pytest.param(SIGINT, 130, "10", id="SIGINT", marks=pytest.mark.slow),
        pytest.param(SIGUSR2, -SIGUSR2, "10", id="SIGUSR2", marks=pytest.mark.slow),
        pytest.param(SIGKILL, -SIGKILL, "1e-9", id="SIGKILL after a checkpoint of the clock"),
    ],
)
def test_a_fit_that_is_stopped_goes_on_at_its_step(
    nursery: Nursery, whole: Whole, tmp_path: Path, number: int, code: int, minutes: str
) -> None:
    command = [*ARGS, f"paths.runs={tmp_path}", f"trainer.checkpoint_minutes={minutes}"]
    # The first process ends amidst the 5 steps of the classifier. The second one is told of those that are done at
    # once, and of the rest one by one, and ends amidst the 8 steps of generation 0
    for kind, call in [("extractor", 3), ("fit", 7)]:
        end = nursery.run(command, signal_at=(number, "advance", call))
        assert end.code == code, end.err
        assert checkpoints(tmp_path) == [kind], end.out
        assert not any((tmp_path / ".store" / kind).rglob("manifest.json"))
    end = nursery.run(command)
    assert end.code == 0, end.err
    assert "a fit goes on from its checkpoint at step" in end.out
    assert checkpoints(tmp_path) == []
    check_same(tmp_path, whole)
