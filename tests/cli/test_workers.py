"""What is launched again after a worker was killed; tests/e2e/test_processes.py (slow) kills real workers."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from collapse_lab.cli import sweep
from collapse_lab.cli.workers import Round, relaunching
from collapse_lab.engine.outcome import Outcome
from collapse_lab.errors import UserError

CELLS = 5
WORKERS = 2


class Launcher:
    """Run a sweep's cells as two workers would, and break off where one of them is killed.

    Args:
        folder: the sweep's folder.
        kills: cell -> how often its worker is killed.
        refused: the cells that end in a refusal.
    """

    def __init__(self, folder: Path, kills: dict[int, int], refused: tuple[int, ...] = ()) -> None:
        self.folder, self.kills, self.refused = folder, dict(kills), refused
        self.launches: list[list[int]] = []

    def start(self, which: Round) -> None:
        cells = [sweep.Cell(self.folder, number, (f"seed={number}",)) for number in range(CELLS)]
        due = [cell for cell in cells if which.includes(cell)]
        self.launches.append([cell.number for cell in due])
        errors = []
        for first in range(0, len(due), WORKERS):
            together = due[first : first + WORKERS]
            for cell in together:
                cell.begin()
            killed = [cell.number for cell in together if self.kills.get(cell.number, 0) > 0]
            for number in killed:
                self.kills[number] -= 1
            if killed:
                raise BrokenProcessPool
            for cell in together:
                if cell.number in self.refused:
                    errors.append(UserError(f"cell {cell.number} is refused"))
                    cell.fail(errors[-1])
                else:
                    cell.finish("ok")
        if errors:
            raise errors[0]

    def statuses(self) -> list[str]:
        """Return how each cell ended."""
        files = [sweep.Cell(self.folder, number, ()).file for number in range(CELLS)]
        return [Outcome.read(file).status for file in files]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let this process have launched a sweep."""
    monkeypatch.setattr(sweep.SweepStart, "folder", tmp_path)
    return tmp_path


def test_cells_that_a_killed_worker_took_along_run_again_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    launcher = Launcher(folder, {2: 1})
    with relaunching(launcher.start):
        launcher.start(Round())
    assert launcher.statuses() == ["ok"] * CELLS
    assert launcher.launches == [[0, 1, 2, 3, 4], [2], [3], [4]]
    (sentence,) = capsys.readouterr().err.splitlines()
    assert "a worker process was killed" in sentence
    assert "seed=2; seed=3" in sentence


def test_a_cell_whose_worker_is_killed_each_time_is_lost_alone(folder: Path) -> None:
    launcher = Launcher(folder, {1: 99})
    with pytest.raises(SystemExit, match="1 of 5 cells did not end well"), relaunching(launcher.start):
        launcher.start(Round())
    assert launcher.statuses() == ["ok", "lost", "ok", "ok", "ok"]
    assert launcher.launches == [[0, 1, 2, 3, 4], [0], [1], [2, 3, 4]]


def test_a_refused_cell_is_raised_after_all_others_have_run(folder: Path) -> None:
    launcher = Launcher(folder, {0: 1}, refused=(3,))
    with pytest.raises(UserError, match="cell 3 is refused"), relaunching(launcher.start):
        launcher.start(Round())
    assert launcher.statuses() == ["ok", "ok", "ok", "failed", "ok"]


def test_workers_that_are_killed_before_any_cell_begins_end_the_sweep(folder: Path) -> None:
    def start(which: Round) -> None:
        raise BrokenProcessPool

    with pytest.raises(UserError, match="killed 3 times before a cell had begun"), relaunching(start):
        start(Round())


def test_a_launch_that_nothing_disturbs_is_not_repeated(folder: Path) -> None:
    launcher = Launcher(folder, {})
    with relaunching(launcher.start):
        launcher.start(Round())
    assert launcher.launches == [[0, 1, 2, 3, 4]]
