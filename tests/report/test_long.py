"""Pages about chains of many generations: they are written within seconds, and say what they leave out."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from collapse_lab.report import export, write_report
from collapse_lab.report.collapse_tables import MOST_POINTS as MOST_OF_A_RATE
from collapse_lab.report.curves import THINNED
from collapse_lab.report.export import packed
from collapse_lab.report.perplexities import fan
from collapse_lab.results.collect import Collection, collect, gathered
from collapse_lab.results.run import read_run
from collapse_lab.results.series import MOST_POINTS, along, over_generations, point, value
from collapse_lab.types import Record
from tests.report.run_folders import write_run

FID = "seen/classifier/fid"


def write_long(folder: Path, generations: int, texts: bool = False) -> Path:
    """Write the folder of a long chain, whose values repeat every 50 generations."""
    write_run(folder, generations=49, grids=False, texts=texts)
    lines = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    repeated = ({**lines[g % 50], "generation": g} for g in range(generations + 1))
    (folder / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in repeated))
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config.replace("generations: 49", f"generations: {generations}"))
    return folder


def long(folder: Path, generations: int, texts: bool = False) -> Collection:
    return collect([write_long(folder, generations, texts)])


def test_a_chain_of_20000_generations_has_a_page_within_20_seconds(tmp_path: Path) -> None:
    folder = write_long(tmp_path / "run", 20_000)
    begun = time.process_time()  # of this process, because other processes share the machine
    page = write_report([folder], tmp_path / "page.html").read_text()
    assert time.process_time() - begun < 20
    assert THINNED in page
    assert f"Rates of longer chains are those of {MOST_OF_A_RATE:,} generations" in page
    assert len(page) < 5_000_000


class Walked(tuple[Record, ...]):
    """Records that count how often somebody walks through all of them."""

    walks: ClassVar[int] = 0

    def __iter__(self) -> Iterator[Record]:
        Walked.walks += 1
        return super().__iter__()


def test_the_packed_numbers_of_a_long_chain_walk_through_it_a_few_times_and_not_once_for_each_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "MOST_NUMBERS", 0)  # as if its numbers were too many for the page
    run = read_run(write_long(tmp_path / "run", 1_000))
    walked = gathered([replace(run, records=Walked(run.records))])
    Walked.walks = 0
    assert "the last generation" in packed(walked).description
    assert 1 <= Walked.walks <= 5


def test_a_line_of_a_long_chain_has_500_points_with_the_first_and_the_last(tmp_path: Path) -> None:
    collection = long(tmp_path / "run", 20_000)
    (line,) = over_generations(collection, FID)
    assert len(line.x) == MOST_POINTS == 500
    assert (line.x[0], line.x[-1]) == (0, 20_000)
    assert set(np.diff(line.x)) == {40, 41}
    (run,) = collection.runs
    assert [value(run, FID, g) for g in line.x] == line.mean.tolist()


def test_a_fan_of_a_long_chain_has_500_points_too(tmp_path: Path) -> None:
    quantiles = fan(long(tmp_path / "run", 2_000, texts=True).seed_groups[0], "all")
    assert quantiles is not None
    assert len(quantiles.x) == MOST_POINTS
    assert (quantiles.x[0], quantiles.x[-1]) == (0, 2_000)


@pytest.mark.parametrize("texts", [False, True])
def test_a_page_of_ordinary_size_shows_every_generation_and_says_nothing_of_it(tmp_path: Path, texts: bool) -> None:
    collection = long(tmp_path / "run", MOST_POINTS - 1, texts)
    (line,) = over_generations(collection, "all/perplexity" if texts else FID)
    assert line.x.tolist() == list(range(MOST_POINTS))
    page = write_report([tmp_path / "run"], tmp_path / "page.html").read_text()
    assert THINNED not in page
    assert "Rates of longer chains" not in page


def test_values_are_those_of_the_search_through_every_record(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", generations=4, grids=False, models=("a", "b"))
    (run,) = collect([folder]).runs
    for g in range(5):
        rows = [record.metrics[FID] for record in run.records if record.generation == g]
        assert value(run, FID, g) == float(np.mean(rows))
        assert point([run], FID, g)[0] == float(np.mean(rows))
        assert point([run], FID, g, "b")[0] == rows[1]
        assert along(run, FID)[1][g] == np.mean(rows)
    assert value(run, FID, 5) is None
