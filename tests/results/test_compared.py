"""Differences as a table: against SciPy and the definition of Holm's method, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import collapse_lab
from collapse_lab.errors import UserError
from collapse_lab.report.__main__ import main
from collapse_lab.results.collect import collect
from collapse_lab.results.compared import KEYS, NUMBERS, from_controls
from collapse_lab.results.intervals import p_of_mean
from collapse_lab.results.run import read_run
from tests.report.run_folders import write_sweep

FID = "seen/classifier/fid"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sweep(tmp_path_factory.mktemp("runs"), ratios=(0, 0.1, 1), seeds=4)


def at(sweep: Path, ratio: float) -> list[Path]:
    return [run.folder for run in collect([sweep]).runs if run.flat["ratio"] == ratio]


def last(folders: list[Path], name: str = FID) -> np.ndarray:
    runs = sorted((read_run(folder) for folder in folders), key=lambda run: str(run.seed))
    return np.asarray([run.records[-1].metrics[name] for run in runs])


def test_every_number_is_compared_as_scipy_does_it(sweep: Path) -> None:
    table = collapse_lab.compare(at(sweep, 1), at(sweep, 0))
    assert list(table) == [*KEYS, *NUMBERS]
    row = table.set_index("name").loc[FID]
    x, y = last(at(sweep, 1)), last(at(sweep, 0))
    test = stats.ttest_rel(x, y)
    interval = test.confidence_interval(0.95)
    assert (row["generation"], row["n"], row["metric"]) == (5, 4, "fid")
    assert [row["value"], row["other"], row["difference"]] == pytest.approx([x.mean(), y.mean(), (x - y).mean()])
    assert [row["lo"], row["hi"], row["p"]] == pytest.approx([interval.low, interval.high, test.pvalue])
    known = np.sort(table["p"].dropna())
    steps = (len(known) - np.arange(len(known))) * known
    assert np.sort(table["p_holm"].dropna()) == pytest.approx(np.minimum(1, np.maximum.accumulate(steps)))
    every = collapse_lab.compare(at(sweep, 1), at(sweep, 0), generation=None)
    assert sorted(set(every["generation"])) == list(range(6))
    assert set(collapse_lab.compare(at(sweep, 1), at(sweep, 0), generation=2)["generation"]) == {2}


def test_one_pair_has_no_interval_and_no_p(sweep: Path) -> None:
    table = collapse_lab.compare(at(sweep, 1)[:1], at(sweep, 0))
    assert set(table["n"]) == {1}
    assert table[["lo", "hi", "p", "p_holm"]].isna().all(axis=None)
    assert table["p"].dtype == float
    assert p_of_mean([1.0]) is None
    assert p_of_mean([2.0, 2.0, 2.0]) is None
    assert math.isclose(p_of_mean([-1.0, 1.0]) or 0, 1.0)


def test_configurations_of_a_sweep_are_compared_with_its_control(sweep: Path) -> None:
    table = from_controls(collect([sweep]))
    assert sorted(set(table["ratio"])) == [0.1, 1]
    assert set(table["control"]) == {"ratio 0"}
    row = table[(table["name"] == FID) & (table["ratio"] == 1)].iloc[0]
    assert row["difference"] == pytest.approx(float((last(at(sweep, 1)) - last(at(sweep, 0))).mean()))
    known = table[table["p"].notna()]
    assert (known["p_holm"] >= known["p"]).all()
    assert len(known) > 40


def test_a_chain_that_ended_early_stops_no_other(sweep: Path, tmp_path: Path) -> None:
    short = at(write_sweep(tmp_path, ratios=(1,), seeds=4), 1)
    ledger = short[0] / "ledger.jsonl"
    ledger.write_text("\n".join(ledger.read_text().splitlines()[:3]) + "\n")
    row = collapse_lab.compare(short, at(sweep, 0)).set_index("name").loc[FID]
    assert (row["generation"], row["n"]) == (2, 4)
    ledger.write_text("")
    row = collapse_lab.compare(short, at(sweep, 0)).set_index("name").loc[FID]
    assert (row["generation"], row["n"]) == (5, 3)


def test_sides_that_cannot_be_paired_are_refused(sweep: Path) -> None:
    with pytest.raises(UserError, match="12 runs have 4 different seeds"):
        collapse_lab.compare(sweep, at(sweep, 0))
    with pytest.raises(UserError, match="no seed is on both sides"):
        collapse_lab.compare(at(sweep, 1)[:1], at(sweep, 0)[1:])
    with pytest.raises(UserError, match="no configuration has a control"):
        from_controls(collect(at(sweep, 0)))


def test_tables_are_written_from_the_command_line(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tidy, differences, figure = tmp_path / "tidy.parquet", tmp_path / "new" / "d.csv", tmp_path / "f.svg"
    line = [str(sweep), "--figure", str(figure), "--table", str(tidy), "--differences", str(differences)]
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (the extra `hub`)")
    assert main(line) == 0
    assert str(tidy) in capsys.readouterr().out
    pd.testing.assert_frame_equal(pd.read_parquet(tidy), collapse_lab.frame(sweep), check_dtype=False)
    written = pd.read_csv(differences)
    assert written["difference"].to_numpy() == pytest.approx(from_controls(collect([sweep]))["difference"].to_numpy())
    assert main([str(sweep), "--table", "numbers.xls"]) == 2
    assert "written as .csv or .parquet" in capsys.readouterr().err
