"""Means over seeds as a table: against SciPy, by setting and generation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import collapse_lab
from collapse_lab.report.__main__ import main
from tests.report.run_folders import write_sweep

FID = "seen/classifier/fid"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sweep(tmp_path_factory.mktemp("runs"), ratios=(0, 0.1), seeds=4)


def test_a_row_is_the_mean_over_seeds_with_its_t_interval(sweep: Path) -> None:
    table, every = collapse_lab.means(sweep), collapse_lab.frame(sweep)
    assert len(table) == len(every) / 4
    for ratio in (0, 0.1):
        for generation in (0, 5):
            values = every[(every["name"] == FID) & (every["ratio"] == ratio) & (every["generation"] == generation)]
            mean, error = values["value"].mean(), stats.sem(values["value"])
            lo, hi = stats.t.interval(0.95, 3, loc=mean, scale=error)
            (row,) = table[
                (table["name"] == FID) & (table["ratio"] == ratio) & (table["generation"] == generation)
            ].iloc
            assert [row["mean"], row["lo"], row["hi"], row["n"]] == pytest.approx([mean, lo, hi, 4])
            assert row["floor"] == pytest.approx(values["floor"].mean())


def test_one_seed_has_no_interval(sweep: Path) -> None:
    one = next(sweep.rglob("ledger.jsonl")).parent
    table = collapse_lab.means(one)
    assert set(table["n"]) == {1}
    assert table[["lo", "hi"]].isna().all(axis=None)
    assert np.array_equal(table["mean"], collapse_lab.frame(one)["value"])


def test_the_table_is_written_from_the_command_line(sweep: Path, tmp_path: Path) -> None:
    out, figure = tmp_path / "means.csv", tmp_path / "f.svg"
    assert main([str(sweep), "--figure", str(figure), "--means", str(out)]) == 0
    written = pd.read_csv(out)
    assert written["mean"].to_numpy() == pytest.approx(collapse_lab.means(sweep)["mean"].to_numpy())
