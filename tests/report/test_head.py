"""The head of the page: settings, what papers plot first, and differences that are or are not to be told apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy import stats

from collapse_lab.report import write_report
from collapse_lab.report.summary import headline, seeds_in_short, settings_in_short
from collapse_lab.results.collect import Collection, gathered
from collapse_lab.results.names import base_names
from collapse_lab.results.run import Run
from collapse_lab.types import Record
from tests.report.run_folders import write_run

FID = "seen/classifier/fid"


def sweep(low: list[float], high: list[float]) -> Collection:
    """Return a sweep of two ratios with these values of FID, one for each seed."""
    runs = [
        Run(
            Path(f"r{ratio}-s{seed}"),
            {"name": "x", "seed": seed, "ratio": ratio, "n_train": 600, "model": {"_target_": "collapse_lab.models.A"}},
            (Record(0, "model", {}, {FID: value}, {}, "ok", {}, {}),),
        )
        for ratio, values in ((0, low), (1, high))
        for seed, value in enumerate(values)
    ]
    return gathered(runs)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        # The differences 1, -1, 1 have a t-interval around 0, and 10, 11, 10.5 have not
        ([4.0, 5.0, 6.0], [5.0, 4.0, 7.0], "was 5 at ratio 0 and 5.33 at ratio 1, which 3 seeds do not tell apart."),
        ([4.0, 5.0, 6.0], [14.0, 16.0, 16.5], "was 5 at ratio 0 and 15.5 at ratio 1: 3.1 times as much."),
        ([4.0], [14.0], "was 4 at ratio 0 and 14 at ratio 1: 3.5 times as much."),
    ],
    ids=["within chance", "apart", "one seed"],
)
def test_two_doses_are_told_apart_by_their_paired_interval_alone(
    low: list[float], high: list[float], said: str
) -> None:
    (sentence,) = headline(sweep(low, high))
    assert sentence.endswith(said)


def test_fewer_than_three_seeds_are_told_once(tmp_path: Path) -> None:
    assert seeds_in_short(sweep([1.0] * 3, [2.0])) == ""
    assert seeds_in_short(sweep([1.0], [2.0])).startswith("Intervals over seeds need three seeds or more. Here each")
    assert f"reaches {stats.t.ppf(0.975, 1):.1f} standard errors" in seeds_in_short(sweep([1.0] * 2, [2.0]))
    for name, weights in (("a", "1f2e3d"), ("b", "9a8b7c")):
        write_run(tmp_path / name, generations=1, grids=False, weights=weights, name=name)
    text = write_report([tmp_path], tmp_path / "report.html").read_text()
    assert text.count("Intervals over seeds need three seeds or more.") == 1


def test_the_settings_that_all_runs_share_are_one_line() -> None:
    assert settings_in_short(sweep([1.0], [2.0])) == "model A · rows trained on 600"


def test_what_the_papers_plot_of_toys_comes_before_other_quantities() -> None:
    names = ["all/log_variance", "all/variance", "all/mean_error", "all/wasserstein_risk", "all/wasserstein_risk_lo"]
    assert [name.metric for name in base_names(names)][:2] == ["wasserstein_risk", "log_variance"]
    assert base_names([*names, "all/pixels/fid", FID])[0].key == FID
