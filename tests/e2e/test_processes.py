"""Processes of a sweep: none outlives its launcher, and a worker that is killed costs no other cell."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.command import CHAIN, ROOT, environment, ledger, run, timeless
from tests.nursery import Nursery

# Because nearly all the time of a worker is its start, the cells themselves are short
NAME = "recursive_gaussian"
SWEEP = ["-m", f"+experiment={NAME}", "sinks=[]", "model.replicas=10", "generations=3", "device=cpu", "seed=0,1,2"]
LOCAL = [*SWEEP, "hydra/launcher=local"]
ENDLESS = ["-m", *CHAIN, "hydra/launcher=local", "trainer.steps=1000000", "seed=0,1,2"]
GONE = 10.0  # seconds after which no process may be left


def processes_with(word: str) -> list[int]:
    """Return the processes whose environment has a word: a command, and everything that it has started."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                if word.encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:  # because it has ended since
                continue
    return found


def start(arguments: Sequence[str], mark: str, **env: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "collapse_lab", *arguments]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        command,
        env=environment(MARK=mark, **env),
        cwd=ROOT,
        stdin=quiet,
        stdout=quiet,
        stderr=quiet,
        start_new_session=True,  # a group of its own, which a test may interrupt as a terminal does
        preexec_fn=listen_to_ctrl_c,
    )


def listen_to_ctrl_c() -> None:
    """Undo that a suite in the background (`make test &`) hands SIGINT down as ignored, which Python then keeps."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def workers(mark: str) -> list[int]:
    """Return joblib's workers of a command."""
    return [pid for pid in processes_with(mark) if b"loky.backend.popen_loky" in command_line(pid)]


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # because it has ended since
        return b""


def wait_until_gone(mark: str) -> None:
    end = time.monotonic() + GONE
    while processes_with(mark) and time.monotonic() < end:
        time.sleep(0.1)
    assert [command_line(pid) for pid in processes_with(mark)] == []


def complete(runs: Path) -> dict[str, object]:
    """Return the ledgers of complete runs, the time fields aside."""
    folders = [folder for folder in sorted((runs / NAME).iterdir()) if (folder / "ledger.jsonl").exists()]
    return {folder.name: timeless(folder) for folder in folders if len(ledger(folder)) == 4}


@pytest.fixture(scope="module")
def whole(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the runs of three seeds that nothing has disturbed."""
    runs = tmp_path_factory.mktemp("whole")
    end = nursery.run([*SWEEP, f"paths.runs={runs}"])
    assert end.code == 0, end.err
    return runs


def send(process: subprocess.Popen[bytes], number: signal.Signals, to_all: bool) -> int:
    """Send a signal to a launcher, or to its workers too, as a terminal does; return the exit code of the launcher."""
    if to_all:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    return process.wait(timeout=GONE)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc")
@pytest.mark.parametrize(
    ("number", "to_all", "code"),
    [
        pytest.param(signal.SIGKILL, False, -signal.SIGKILL, id="SIGKILL"),
        # Slow, because it ends a launcher as SIGKILL does: no handler of ours
        pytest.param(signal.SIGTERM, False, -signal.SIGTERM, id="SIGTERM", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, False, 130, id="SIGINT"),
        pytest.param(signal.SIGINT, True, 130, id="Ctrl-C in a terminal", marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, True, -signal.SIGHUP, id="terminal closed", marks=pytest.mark.slow),
    ],
)
def test_workers_end_with_their_launcher(tmp_path: Path, number: signal.Signals, to_all: bool, code: int) -> None:
    mark = str(tmp_path)
    process = start([*ENDLESS, f"paths.runs={tmp_path}"], mark)
    end = time.monotonic() + 300
    while len(list(tmp_path.glob("sweeps/*/cells/*.line"))) < 2 and time.monotonic() < end:
        time.sleep(0.1)
    assert len(workers(mark)) == 2
    assert send(process, number, to_all) == code
    wait_until_gone(mark)


def run_with_killer(runs: Path, marks: Path, times: int) -> subprocess.CompletedProcess[str]:
    """Run the sweep with a sink that kills the worker of seed 1 so many times, and leaves a mark each time."""
    killer = ["+sinks.killer._target_=tests.e2e.killer.Killer", "+sinks.killer.seed=1", f"+sinks.killer.times={times}"]
    return run([*LOCAL, *killer, f"+sinks.killer.marks={marks}", f"paths.runs={runs}"])


@pytest.mark.slow  # because each of five workers takes ten seconds to start; tests/cli/test_workers.py has the rounds
def test_a_killed_worker_costs_no_cell(tmp_path: Path, whole: Path) -> None:
    runs = tmp_path / "runs"
    done = run_with_killer(runs, tmp_path / "marks", 1)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (sentence,) = (line for line in done.stderr.splitlines() if "a worker process was killed" in line)
    assert "seed=1" in sentence
    assert complete(runs) == complete(whole)
    assert "report of 3 cells" in done.stdout


@pytest.mark.slow  # because of the same
def test_a_cell_that_kills_its_worker_each_time_is_lost_alone(tmp_path: Path, whole: Path) -> None:
    runs, marks = tmp_path / "runs", tmp_path / "marks"
    done = run_with_killer(runs, marks, 99)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    lost = [line for line in done.stderr.splitlines() if line.startswith("lost:")]
    assert lost == ["lost: seed=1: its worker process was killed, and killed again while no other cell ran"]
    assert done.stderr.count("collapse_lab: 1 of 3 cells did not end well") == 1
    assert len(list(marks.iterdir())) == 2
    assert len(complete(runs)) == 2
    assert complete(runs).items() <= complete(whole).items()
    assert "report of 2 cells" in done.stdout


def first_line(process: subprocess.Popen[bytes], runs: Path) -> float:
    """Return the seconds until a run of a launch has recorded a generation."""
    begun = time.monotonic()
    while not any(path.stat().st_size for path in runs.glob(f"{NAME}/*/ledger.jsonl")):
        assert process.poll() is None
        time.sleep(0.05)
    return time.monotonic() - begun


@pytest.mark.slow  # because each of 21 launches takes as long as two workers take to start
@pytest.mark.timeout(1800)
def test_a_launcher_that_is_killed_twenty_times_leaves_no_worker_and_no_other_ledger(
    nursery: Nursery, tmp_path: Path
) -> None:
    chains = ["-m", f"+experiment={NAME}", "sinks=[]", "model.replicas=10", "generations=1000", "device=cpu"]
    line, runs = [*chains, "seed=0,1,2,3"], tmp_path / "runs"
    draw, inside = np.random.default_rng(16), 0
    usual = 0.0
    for number in range(20):
        mark = f"killed-{number}:{tmp_path}"
        process = start([*line, "hydra/launcher=local", f"paths.runs={runs}"], mark)
        if number == 0:
            usual = first_line(process, runs)
        else:
            with suppress(subprocess.TimeoutExpired):
                process.wait(usual * draw.uniform(0.4, 1.6))
        inside += process.poll() is None
        process.kill()
        process.wait()
        wait_until_gone(mark)
    assert inside >= 10  # the others came when all cells were complete
    done = run([*line, "hydra/launcher=local", f"paths.runs={runs}"])
    assert done.returncode == 0, done.stderr
    whole = nursery.run([*line, f"paths.runs={tmp_path / 'whole'}"])
    assert whole.code == 0, whole.err
    ledgers = [{one.name: timeless(one) for one in (place / NAME).iterdir()} for place in (runs, tmp_path / "whole")]
    assert len(ledgers[0]) == 4
    assert all(len(lines) == 1001 for lines in ledgers[0].values())
    assert ledgers[0] == ledgers[1]
