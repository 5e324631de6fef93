"""Kills at moments that a seeded generator draws: nothing is left running, no cell is lost, and the numbers are equal.

Each kill is a trial of its own, so that each can be told by its number. Launchers, workers and one of two sweeps on one
store are killed by SIGKILL here, packs too; jobs of SLURM are killed in tests/slurm.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from collapse_lab.cli.workers import LAUNCHER
from tests.e2e.test_pack import CELLS as ONE_BY_ONE
from tests.e2e.test_pack import PACK, check_equal
from tests.e2e.test_processes import LOCAL, SWEEP, complete, wait_until_gone, workers
from tests.e2e.test_processes import whole as whole
from tests.nursery import End, Nursery

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc"),
    pytest.mark.timeout(1800),
    pytest.mark.slow,  # because tests/e2e/test_kill.py kills cells at the moments that count, within a minute
]

REVERSED = ["seed=2,1,0" if argument.startswith("seed=") else argument for argument in SWEEP]
LATEST = 3.0  # seconds after the first cell has begun, by which a sweep of this size has ended
ALL = {"launcher": 15, "worker": 15, "pair": 9, "pack": 12}  # and nine jobs of SLURM
KILLS = {kind: [pytest.param(number, id=f"{number + 1}") for number in range(n)] for kind, n in ALL.items()}


@pytest.fixture(scope="module")
def alone(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the runs of the cells of a pack, each for itself."""
    runs = tmp_path_factory.mktemp("alone")
    end = nursery.run([*ONE_BY_ONE, f"paths.runs={runs}"], IN_DOUBLE="1")
    assert end.code == 0, end.err
    return runs


def moment(kind: str, number: int, latest: float = LATEST) -> float:
    """Return when a kill comes, in seconds; the same in each process."""
    return float(np.random.default_rng([60, sorted(ALL).index(kind), number]).uniform(0, latest))


@contextmanager
def sweeping(nursery: Nursery, line: Sequence[str], runs: Path) -> Iterator[Future[End]]:
    """Run a sweep beside the block, which begins once a cell has begun; check that nothing of it is left."""
    with ThreadPoolExecutor(1) as pool:
        end = pool.submit(nursery.run, [*line, f"paths.runs={runs}"], MARK=f"kills:{runs}")
        while not list(runs.glob("sweeps/*/cells/*.line")) and not end.done():
            time.sleep(0.02)
        yield end
        end.result()
    wait_until_gone(f"kills:{runs}")


def kill(pid: int) -> None:
    """Kill a process, unless it has ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def launcher(pid: int) -> int:
    """Return the process that has launched a worker; 0 where the worker has ended."""
    with suppress(OSError):
        words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return next(int(word.partition(b"=")[2]) for word in words if word.startswith(LAUNCHER.encode()))
    return 0


def finish(nursery: Nursery, runs: Path, whole: Path, line: Sequence[str] = SWEEP) -> None:
    """Give the command again, and check that nothing is missing.

    Workers would cost ten times as much, so all but one test give it without them, and find the same runs.
    """
    end = nursery.run([*line, f"paths.runs={runs}"], MARK=f"again:{runs}")
    assert end.code == 0, end.err
    wait_until_gone(f"again:{runs}")
    assert len(complete(runs)) == 3
    assert complete(runs) == complete(whole)


@pytest.mark.parametrize("number", KILLS["launcher"])
def test_a_launcher_that_is_killed(number: int, nursery: Nursery, tmp_path: Path, whole: Path) -> None:
    with sweeping(nursery, LOCAL, tmp_path) as end:
        time.sleep(moment("launcher", number))
        pids = [pid for pid in map(launcher, workers(f"kills:{tmp_path}")) if pid]
        if pids:  # because the sweep may have ended
            kill(pids[0])
        assert end.result().code in (0, -signal.SIGKILL), end.result().err
    finish(nursery, tmp_path, whole, LOCAL if number == 0 else SWEEP)


@pytest.mark.parametrize("number", KILLS["worker"])
def test_a_worker_that_is_killed_costs_no_cell(number: int, nursery: Nursery, tmp_path: Path, whole: Path) -> None:
    with sweeping(nursery, LOCAL, tmp_path) as end:
        time.sleep(moment("worker", number))
        pids = workers(f"kills:{tmp_path}")
        if pids:
            kill(pids[number % len(pids)])
        assert end.result().code == 0, end.result().err
    assert "Traceback" not in end.result().err
    assert complete(tmp_path) == complete(whole)
    finish(nursery, tmp_path, whole)


@pytest.mark.parametrize("number", KILLS["pair"])
def test_one_of_two_sweeps_on_one_store_that_is_killed(
    number: int, nursery: Nursery, tmp_path: Path, whole: Path
) -> None:
    lines = [[*line, f"paths.runs={tmp_path}"] for line in (SWEEP, REVERSED)]
    one, other = nursery.together(lines, kill_after=(moment("pair", number), None))
    assert one.code in (0, -signal.SIGKILL), one.err
    assert other.code == 0, other.err
    assert complete(tmp_path) == complete(whole)
    finish(nursery, tmp_path, whole)


@pytest.mark.parametrize("number", KILLS["pack"])
def test_a_pack_that_is_killed(number: int, nursery: Nursery, tmp_path: Path, alone: Path) -> None:
    line = [*PACK, f"paths.runs={tmp_path}"]
    end = nursery.run(line, kill_after=moment("pack", number, 6.0), IN_DOUBLE="1")
    assert end.code in (0, -signal.SIGKILL), end.err
    end = nursery.run(line, IN_DOUBLE="1")
    assert end.code == 0, end.err
    check_equal(alone, tmp_path)
