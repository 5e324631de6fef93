"""The launcher on Ray, with a stand-in for Ray that calls each task at once."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from collapse_lab.cli.launchers.ray import RayLauncher
from collapse_lab.engine.outcome import Outcome
from collapse_lab.errors import UserError


class RayError(Exception):
    pass


class StandIn:
    """Have four GPUs and eight cores, note what each task asks for, and lose the worker of some."""

    def __init__(self, lost: tuple[int, ...] = ()) -> None:
        self.lost = lost
        self.options: dict[str, Any] = {}
        self.exceptions = SimpleNamespace(RayError=RayError)

    def init(self, **arguments: Any) -> None:
        self.arguments = arguments

    def cluster_resources(self) -> dict[str, float]:
        return {"GPU": 4.0, "CPU": 8.0}

    def remote(self, _: Any) -> Any:
        def options(**options: Any) -> Any:
            self.options = options
            return SimpleNamespace(remote=lambda number, *_: number)

        return SimpleNamespace(options=options)

    def get(self, number: int) -> JobReturn:
        if number in self.lost:
            raise RayError("The worker died\nand more")
        end = JobReturn(status=JobStatus.COMPLETED)
        end.return_value = number / 2
        return end


def launched(
    monkeypatch: pytest.MonkeyPatch, folder: Path, ray: StandIn, device: str = "auto", **arguments: Any
) -> Any:
    monkeypatch.setitem(sys.modules, "ray", ray)
    launcher = RayLauncher(**arguments)
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(folder)}}, "device": device})
    launcher.setup(hydra_context=None, task_function=None, config=config)  # type: ignore[arg-type]
    return launcher.launch([["seed=0"], ["seed=1"], ["seed=2"]], 0)


def test_each_cell_is_a_task_that_returns_its_objective(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ray = StandIn()
    ends = launched(monkeypatch, tmp_path, ray, num_gpus=0.5, init={"address": "auto"})
    assert [end.return_value for end in ends] == [0.0, 0.5, 1.0]
    assert ray.options == {"num_gpus": 0.5, "num_cpus": 1, "max_retries": 1}
    assert ray.arguments == {"ignore_reinit_error": True, "address": "auto"}
    assert len(list(tmp_path.glob("cells/*.queued"))) == 3


@pytest.mark.parametrize(("device", "gpus"), [("auto", 1.0), ("cpu", 0.0)])
def test_a_cell_gets_a_gpu_where_it_computes_on_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, device: str, gpus: float
) -> None:
    ray = StandIn()
    launched(monkeypatch, tmp_path, ray, device)
    assert ray.options["num_gpus"] == gpus


def test_a_lost_worker_costs_its_own_cell_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ends = launched(monkeypatch, tmp_path, StandIn(lost=(1,)))
    assert [end.status for end in ends] == [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.COMPLETED]
    lost = Outcome.read(tmp_path / "cells" / "0001.json")
    assert (lost.status, lost.reason) == ("lost", "its worker process was lost (The worker died)")


def test_what_ray_does_not_have_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="num_gpus=5 asks for more than there are: Ray has 4 GPUs; give less"):
        launched(monkeypatch, tmp_path, StandIn(), num_gpus=5)
    with pytest.raises(UserError, match="num_cpus=9 asks for more than there are"):
        launched(monkeypatch, tmp_path, StandIn(), num_cpus=9)
    monkeypatch.setitem(sys.modules, "ray", None)
    launcher = RayLauncher()
    with pytest.raises(UserError, match="needs Ray: pip install ray"):
        launcher.launch([["seed=0"]], 0)
