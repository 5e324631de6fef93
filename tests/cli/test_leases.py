"""Workers of hydra/launcher=local lease GPUs, which a stub stands for: only CUDA_VISIBLE_DEVICES is looked at."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from collapse_lab.cli.leases import VISIBLE, chosen_gpus, gpus_here, lease, lease_folder, workers_of
from collapse_lab.cli.workers import start_worker
from collapse_lab.errors import UserError

FOUR = ["0", "1", "2", "3"]
FORK = multiprocessing.get_context("fork")  # because a forked worker costs no import
PATIENCE = 60.0  # seconds after which a test gives up


def compute(folder: Path, cell: int) -> None:
    """Be a cell: note the GPU that it sees, when it begins and when it ends; the first four wait for each other."""
    name = f"{os.environ[VISIBLE]}-{os.getpid()}-{cell}"
    (folder / f"{name}.begun").touch()
    end = time.monotonic() + PATIENCE
    while cell < len(FOUR) and len(list(folder.glob("*.begun"))) < len(FOUR) and time.monotonic() < end:
        time.sleep(0.01)
    busy = [path.name.split("-")[0] for path in folder.glob("*.begun") if not path.with_suffix(".done").exists()]
    (folder / f"{name}.busy").write_text(" ".join(sorted(busy)))
    (folder / f"{name}.done").touch()


def worker(gpus: list[str], cells_per_gpu: int, folder: Path, cells: list[int]) -> None:
    """Be a worker of a sweep."""
    start_worker(gpus, cells_per_gpu, folder / "leases")
    for cell in cells:
        compute(folder, cell)


def run_workers(folder: Path, workers: int, cells: int, gpus: list[str], cells_per_gpu: int = 1) -> list[str]:
    """Run cells in workers; return the GPU of each worker."""
    mine = [list(range(number, cells, workers)) for number in range(workers)]
    started = [FORK.Process(target=worker, args=(gpus, cells_per_gpu, folder, one)) for one in mine]
    for process in started:
        process.start()
    for process in started:
        process.join(PATIENCE)
        assert process.exitcode == 0
    return [path.name.split("-")[0] for path in sorted(folder.glob("*-[0123].begun"), key=lambda p: p.name[-7])]


@pytest.fixture(autouse=True)
def this_process_is_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLAPSE_LAB_LAUNCHER", str(os.getpid()))
    monkeypatch.delenv(VISIBLE, raising=False)


def test_four_gpus_are_all_busy_and_no_two_cells_are_on_one(tmp_path: Path) -> None:
    run_workers(tmp_path, workers=4, cells=12, gpus=FOUR)
    busy = [path.read_text().split() for path in tmp_path.glob("*.busy")]
    assert len(busy) == 12
    assert all(len(one) == len(set(one)) for one in busy)
    assert FOUR in busy  # at one moment each of the four computed a cell
    assert {path.name.split("-")[0] for path in tmp_path.glob("*.done")} == set(FOUR)


def test_several_cells_share_a_gpu_after_every_gpu_has_one(tmp_path: Path) -> None:
    gpus = run_workers(tmp_path, workers=4, cells=4, gpus=["0", "1"], cells_per_gpu=2)
    assert sorted(gpus) == ["0", "0", "1", "1"]
    run = tmp_path / "two"
    run.mkdir()
    first = lease(["0", "1"], 2, run)
    second = lease(["0", "1"], 2, run)
    assert os.environ[VISIBLE] == "1"
    assert {Path(lock.lock_file).name for lock in (first, second)} == {"0.0", "1.0"}


def test_a_gpu_is_waited_for_and_free_once_its_worker_is_killed(tmp_path: Path) -> None:
    holder = FORK.Process(target=hold, args=(tmp_path,))
    holder.start()
    end = time.monotonic() + PATIENCE
    while not (tmp_path / "held").exists() and time.monotonic() < end:
        time.sleep(0.01)
    waiting = FORK.Process(target=worker, args=(["0"], 1, tmp_path, [9]))
    waiting.start()
    time.sleep(0.2)
    assert not list(tmp_path.glob("0-*.begun"))
    holder.kill()
    waiting.join(PATIENCE)
    assert waiting.exitcode == 0
    assert len(list(tmp_path.glob("0-*-9.done"))) == 1


def hold(folder: Path) -> None:
    start_worker(["0"], 1, folder / "leases")
    (folder / "held").touch()
    time.sleep(PATIENCE)


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [("auto", FOUR), (2, ["0", "1"]), (0, []), ([3, 1], ["3", "1"]), (("2",), ["2"])],
    ids=["auto", "two", "none", "list", "tuple"],
)
def test_gpus_are_chosen_by_number_or_by_name(asked: object, chosen: list[str]) -> None:
    assert chosen_gpus(asked, FOUR) == chosen


@pytest.mark.parametrize(
    ("asked", "present", "message"),
    [
        (5, FOUR, r"gpus=5 asks for more GPUs than there are: this machine has 4 \(0, 1, 2, 3\)"),
        (1, [], "asks for more GPUs than there are: this machine has 0; give fewer"),
        ([0, 7], FOUR, "names GPU 7, which is not there: this machine has 4"),
        ([1, 1], FOUR, "names a GPU twice"),
        (-1, FOUR, "is auto, a number of GPUs or a list of them; got -1"),
        (True, FOUR, "is auto, a number"),
        ("all", FOUR, "is auto, a number"),
    ],
    ids=["more", "none-here", "missing", "twice", "negative", "bool", "word"],
)
def test_gpus_that_are_not_there_are_refused(asked: object, present: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        chosen_gpus(asked, present)


@pytest.mark.parametrize(
    ("visible", "names"), [("0,2", ["0", "2"]), ("", []), ("-1", []), ("1, -1,0", ["1"]), ("GPU-ab", ["GPU-ab"])]
)
def test_the_gpus_of_the_environment_are_those_that_cuda_sees(
    monkeypatch: pytest.MonkeyPatch, visible: str, names: list[str]
) -> None:
    monkeypatch.setenv(VISIBLE, visible)
    assert gpus_here() == names


def test_the_driver_is_asked_for_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus_here() == []
    stub = tmp_path / "nvidia-smi"
    stub.write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    stub.chmod(0o755)
    assert gpus_here() == ["0", "1"]


@pytest.mark.parametrize(
    ("jobs", "cells", "places", "workers"),
    [("auto", 9, 4, 4), ("auto", 3, 4, 3), ("auto", 9, 0, 2), (8, 9, 4, 4), (3, 9, 4, 3), (5, 9, 0, 5)],
)
def test_there_are_no_more_workers_than_places_and_cells(jobs: int, cells: int, places: int, workers: int) -> None:
    assert workers_of(jobs, cells, places) == workers


def test_all_cores_are_asked_for_as_joblib_does_it() -> None:
    assert workers_of(-1, 999, 0) == os.cpu_count()


@pytest.mark.parametrize("jobs", [0, 1.5, "many", True])
def test_a_number_of_workers_that_is_none_is_refused(jobs: int) -> None:
    with pytest.raises(UserError, match="is auto, or a number of processes"):
        workers_of(jobs, 3, 0)


def test_the_folder_of_the_leases_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert lease_folder().name.endswith("-gpus")
    monkeypatch.setenv("COLLAPSE_LAB_LEASES", str(tmp_path))
    assert lease_folder() == tmp_path
