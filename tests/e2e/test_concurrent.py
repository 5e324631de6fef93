from __future__ import annotations

from pathlib import Path

from tests.e2e.command import PIXELS, entries, ledger, only_run, timeless
from tests.nursery import Nursery


def computed(log: Path) -> list[str]:
    return log.read_text().splitlines()


def test_two_processes_on_one_cell(nursery: Nursery, tmp_path: Path) -> None:
    args = [*PIXELS, "ratio=0.5", f"paths.runs={tmp_path / 'runs'}"]
    ends = nursery.together([args, args], stages=tmp_path / "log")
    assert [end.code for end in ends] == [0, 0], [end.err for end in ends]
    stages = computed(tmp_path / "log")
    assert len(stages) == len(set(stages))
    assert set(stages) == set(entries(tmp_path / "runs" / ".store"))
    assert [line["generation"] for line in ledger(only_run(tmp_path / "runs"))] == [0, 1, 2]
    assert sum("already complete" in end.out for end in ends) == 1


def test_two_cells_with_a_common_ancestor(nursery: Nursery, tmp_path: Path) -> None:
    cells = [[*PIXELS, f"ratio={ratio}", f"paths.runs={tmp_path / 'runs'}"] for ratio in (0.25, 0.5)]
    ends = nursery.together(cells, stages=tmp_path / "log")
    assert [end.code for end in ends] == [0, 0], [end.err for end in ends]
    stages = computed(tmp_path / "log")
    assert len(stages) == len(set(stages))
    assert set(stages) == set(entries(tmp_path / "runs" / ".store"))
    assert sum(stage.startswith("fit/") for stage in stages) == 1 + 2 + 2

    alone = nursery.run([*PIXELS, "ratio=0.5", f"paths.runs={tmp_path / 'alone'}"])
    assert alone.code == 0, alone.err
    folder = only_run(tmp_path / "alone")
    assert timeless(tmp_path / "runs" / "nepotistic" / folder.name) == timeless(folder)
    quarter = next(f for f in (tmp_path / "runs" / "nepotistic").iterdir() if f.name != folder.name)
    assert [line["counts"]["synthetic"] for line in ledger(quarter)] == [0, 8, 8]
