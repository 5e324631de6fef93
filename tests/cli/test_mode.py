"""Hydra composes a configuration once, except where something else than -m may say that it is a sweep."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from collapse_lab.cli import main as command
from collapse_lab.cli.run import Launch
from collapse_lab.config import searchpath
from tests.cli.test_run import TINY


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return a function that launches a line, and tells the compositions of Hydra and the modes of its cells."""
    compose, original = Hydra.compose_config, Hydra.get_mode
    runs: list[str] = []
    modes: list[str] = []

    def counted(self: Hydra, *arguments: Any, **named: Any) -> Any:
        runs.append(str(named["run_mode"].name))
        return compose(self, *arguments, **named)

    def task(self: Launch, cfg: Any) -> None:
        modes.append(RunMode(HydraConfig.get().mode).name)

    monkeypatch.setattr(Hydra, "compose_config", counted)
    monkeypatch.setattr(Launch, "task", task)
    monkeypatch.setattr(searchpath, "_user", [])
    for name in ("COLLAPSE_LAB_SWEEP", "HYDRA_FULL_ERROR", "COLLAPSE_LAB_LAUNCHER"):
        monkeypatch.setenv(name, "")  # so that what `main` sets is taken back

    def launch(*line: str) -> tuple[list[str], list[str]]:
        monkeypatch.setattr(sys, "argv", ["collapse_lab", *line, *TINY, f"paths.runs={tmp_path}/runs"])
        runs.clear()
        modes.clear()
        command.main()
        assert Hydra.get_mode is original  # whoever uses Hydra beside us has it as it was
        return [*runs], [*modes]

    return launch


def test_a_run_is_composed_once(composed: Any) -> None:
    assert composed() == (["RUN"], ["RUN"])


def test_a_sweep_is_composed_once_and_then_cell_by_cell(composed: Any) -> None:
    assert composed("-m", "seed=0,1") == (["MULTIRUN"], ["MULTIRUN", "MULTIRUN"])


def test_the_command_line_may_set_the_mode(composed: Any) -> None:
    assert composed("hydra.mode=MULTIRUN", "seed=0,1")[1] == ["MULTIRUN", "MULTIRUN"]


def test_a_file_of_the_user_may_set_the_mode(composed: Any, tmp_path: Path) -> None:
    (tmp_path / "mine/scale").mkdir(parents=True)
    (tmp_path / "mine/scale/swept.yaml").write_text("# @package _global_\nhydra:\n  mode: MULTIRUN\n")
    line = ["+scale=swept", "seed=0,1"]
    assert composed(f"--config-dir={tmp_path}/mine", *line)[1] == ["MULTIRUN", "MULTIRUN"]
    assert composed(f"hydra.searchpath=[file://{tmp_path}/mine]", *line)[1] == ["MULTIRUN", "MULTIRUN"]


def test_no_file_of_ours_sets_the_mode() -> None:
    for file in searchpath.CONF.rglob("*.yaml"):
        content = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
        assert isinstance(content, dict)
        hydra = content.get("hydra") or {}
        assert "mode" not in hydra, file
        assert not ("hydra" in file.relative_to(searchpath.CONF).parts and "mode" in content), file
