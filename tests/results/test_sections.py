"""The sections of differences and of the quantities of collapse show what `results` computes."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from collapse_lab import report, results
from collapse_lab.report import collapse_tables, differences
from collapse_lab.report.section import Section
from collapse_lab.results.collect import Collection, collect, gathered
from collapse_lab.results.paired import paired
from tests.report.run_folders import write_sweep
from tests.results.memory_runs import METRIC, run


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return collect([write_sweep(tmp_path_factory.mktemp("runs"), (0, 0.1, 1), 3)])


def texts_of(section: Section) -> list[dict[str, str]]:
    header: list[str] = section.context["header"]
    rows: list[list[Any]] = section.context["rows"]
    assert all(len(row) == len(header) for row in rows)
    return [dict(zip(header, (field.text for field in row), strict=True)) for row in rows]


def test_the_table_shows_the_paired_differences(sweep: Collection) -> None:
    section = differences.table(sweep)
    assert section is not None
    row = next(r for r in texts_of(section) if r["metric"] == "FID seen prompts classifier" and r["ratio"] == "1")
    difference = paired(sweep.seed_groups[2].runs, sweep.seed_groups[0].runs, METRIC)
    assert difference.mean is not None
    assert difference.effect is not None
    assert row["difference"] == f"{difference.mean.value:.3g}"
    assert row["effect size"] == f"{difference.effect.value:.3g}"
    assert row["pairs"] == "3"
    assert not any(r["ratio"] == "0" for r in texts_of(section))
    assert "Each configuration minus its control, which is ratio 0." in section.note


def test_the_figure_has_a_panel_and_files_for_each_key_metric(sweep: Collection) -> None:
    section = differences.section(sweep)
    assert section is not None
    assert [plot.stem for plot in section.plots][:2] == [f"difference-{s}-classifier-fid" for s in ("seen", "unseen")]
    for plot in section.plots:
        assert "ratio 0.1" in plot.inline
        assert plot.pdf.startswith(b"%PDF")


def test_a_single_configuration_and_single_seeds() -> None:
    one = gathered([run({METRIC: [1, 2, 3]}, seed) for seed in (0, 1)])
    assert differences.section(one) is None
    assert differences.table(one) is None
    assert collapse_tables.thresholds(one) is None
    seedless = gathered([run({METRIC: [1, 2, 3 + ratio]}, 0, ratio=ratio) for ratio in (0.0, 1.0)])
    section, table = differences.section(seedless), differences.table(seedless)
    assert section is not None
    assert table is not None
    assert "There is one seed, so there are no intervals." in section.note
    (row,) = texts_of(table)
    assert (row["95 % interval"], row["note"]) == ("–", "one pair, no interval")


def test_without_a_common_seed_there_is_no_number() -> None:
    without_pairs = gathered([run({METRIC: [1, 2]}, int(ratio), ratio=ratio) for ratio in (0.0, 1.0)])
    assert differences.section(without_pairs) is None
    table = differences.table(without_pairs)
    assert table is not None
    assert texts_of(table)[0]["difference"] == "–"


def test_chains_of_known_rate_time_to_collapse_and_half_life() -> None:
    halving = [0.8 * 0.5 ** (g / 1.5) for g in range(6)]
    floors = {f"{METRIC}_floor": [1.0] * 6, "seen/classifier/recall_floor": [0.9] * 6}
    runs = [
        run({METRIC: [1, 2, 3.5, 5, 6.5, 8], "seen/classifier/recall": halving, **floors}, seed) for seed in range(3)
    ]
    section = collapse_tables.section(gathered(runs))
    assert section is not None
    fid, recall = texts_of(section)
    assert (fid["rate"], fid["95 % interval"], fid["time to collapse"], fid["half-life"]) == (
        "1.5",
        "1.5 to 1.5",
        "2",
        "–",
    )
    assert (recall["half-life"], recall["time to collapse"]) == ("1.5", "3")
    mixed = [*runs[:2], run({METRIC: [1, 1, 1, 1, 1, 1], **floors}, 2)]
    again = collapse_tables.section(gathered(mixed))
    assert again is not None
    assert texts_of(again)[0]["time to collapse"] == "2 (2 of 3)"
    assert collapse_tables.section(gathered([run({METRIC: [1.0]}, 0)])) is None


def test_the_threshold_of_a_known_curve() -> None:
    rng = np.random.default_rng(0)
    runs = [
        run({METRIC: [1.0, 2 + 4 * max(0, ratio - 0.1) + 1e-6 * rng.normal()]}, seed, ratio=ratio)
        for ratio in (0.0, 0.1, 0.5, 1.0)
        for seed in range(3)
    ]
    section = collapse_tables.thresholds(gathered(runs))
    assert section is not None
    (row,) = texts_of(section)
    # Half of the control's 2 is reached where 4 (ratio - 0.1) = 1.
    assert (row["effect"], row["ratio that reaches it"]) == ("1", "0.35")
    none = collapse_tables.thresholds(
        gathered([run({METRIC: [1.0, 2.0]}, s, ratio=r) for r in (0.0, 1.0) for s in (0, 1)])
    )
    assert none is not None
    assert texts_of(none)[0]["ratio that reaches it"] == "not up to 1"
    single_seed = collapse_tables.thresholds(gathered([one for one in runs if one.seed == 0]))
    assert single_seed is not None
    assert texts_of(single_seed)[0]["ratio that reaches it"] == "needs 2 seeds"


@pytest.mark.parametrize("package", [report, results], ids=["report", "results"])
def test_no_module_imports_torch(package: ModuleType) -> None:
    names = [module.name for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")]
    assert len(names) > 5
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print({'torch', 'hydra', 'lightning'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
