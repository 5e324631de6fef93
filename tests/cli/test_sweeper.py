"""A sweep composes one cell of each kind before it is launched, where Hydra composes every cell."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra.core.plugins import Plugins

from collapse_lab.cli.launchers import SWEEPER, register
from collapse_lab.cli.sweeper import AlikeSweeper
from tests.cli.test_run import NAME, TINY
from tests.e2e.command import run
from tests.nursery import Nursery


@pytest.mark.parametrize(
    ("line", "kinds"),
    [
        ("seed=0,1,2 ratio=0,0.5,1e-3,-1", 1),
        ("seed=0,1 mixing=replace,accumulate", 2),
        ("seed=0,1 model.estimator=ml,unbiased trainer.steps=3,4", 2),
        ("seed=0,1 +model.replicas=1,2", 1),
        ("hydra.job.num=1,2 seed=0,1", 2),
        ("hydra/launcher=1,2 seed=0,1", 2),
    ],
)
def test_cells_that_differ_in_numbers_alone_are_one_kind(line: str, kinds: int) -> None:
    axes = [[f"{name}={value}" for value in values.split(",")] for name, values in re.findall(r"(\S+)=(\S+)", line)]
    composed: list[Any] = []
    loader = SimpleNamespace(load_sweep_config=lambda master_config, sweep_overrides: composed.append(sweep_overrides))
    sweeper = AlikeSweeper(max_batch_size=None)
    sweeper.hydra_context, sweeper.config = SimpleNamespace(config_loader=loader), SimpleNamespace()  # type: ignore[assignment]
    sweeper.validate_batch_is_legal(list(itertools.product(*axes)))
    assert len(composed) == kinds
    assert all(len(cell) == len(axes) for cell in composed)


def test_it_stands_in_the_place_of_hydras_sweeper() -> None:
    register()
    assert Plugins.instance().class_name_to_class[SWEEPER] is AlikeSweeper


def test_a_sweep_runs_where_the_modules_were_imported_before(nursery: Nursery, tmp_path: Path) -> None:
    end = nursery.run(["-m", *TINY, "seed=0,1", f"paths.runs={tmp_path}"])
    assert end.code == 0, end.err
    assert len(list(tmp_path.rglob("ledger.jsonl"))) == 2


def test_an_option_that_does_not_exist_is_refused_before_any_cell(tmp_path: Path) -> None:
    line = ["-m", f"+experiment={NAME}", "mixing=replace,nonsense", "seed=0,1", f"paths.runs={tmp_path}"]
    ended = run(line)
    assert ended.returncode == 2
    assert "unknown value 'nonsense' of mixing" in ended.stderr
    assert not list(tmp_path.rglob("ledger.jsonl"))
