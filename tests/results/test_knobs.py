"""Which settings of some runs differ: all of them, those that tell runs apart, and those that go along with them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from collapse_lab.errors import UserError
from collapse_lab.report.dose import section
from collapse_lab.report.export import _csv_text, _rows
from collapse_lab.report.phase import _chosen as chosen_axes
from collapse_lab.report.summary import headline, scope
from collapse_lab.results.collect import gathered
from collapse_lab.results.compared import _paired, from_controls
from collapse_lab.results.doses import responses
from collapse_lab.results.frames import of_collection
from collapse_lab.results.run import Run
from tests.results.memory_runs import METRIC, run

REPLACE, ADD = "collapse_lab.mixing.replace.Replace", "collapse_lab.mixing.add.Accumulate"


def unlike() -> list[Run]:
    """Return runs of two ratios, and of another mixing policy, data set and model with each."""
    kinds = [(0, REPLACE, "a.Digits", "m.Gaussian"), (0.5, ADD, "b.Plane", "m.Mixture")]
    return [
        run(
            {METRIC: [1.0, 2.0 + ratio + 0.1 * seed]},
            seed,
            ratio=ratio,
            dataset={"_target_": data, "seed": seed},
            model={"_target_": model},
            mixing={"_target_": policy, "ratio": ratio},
            trainer={"steps": 9, "pack": round(ratio * 8)},
        )
        for seed in (0, 1, 2)
        for ratio, policy, data, model in kinds
    ]


def test_tables_have_a_column_for_each_setting_that_differs() -> None:
    collection = gathered(unlike())
    assert collection.knobs == ("ratio",)
    settings = ["ratio", "dataset._target_", "mixing._target_", "model._target_"]
    assert list(collection.settings) == settings
    table = of_collection(collection)
    assert list(table)[2:6] == settings
    assert set(table[table["ratio"] == 0.5]["mixing._target_"]) == {ADD}
    assert set(settings) <= set(_csv_text(_rows(collection)).splitlines()[0].split(","))
    differences = from_controls(collection)
    assert list(differences)[:4] == settings
    assert set(differences["control"]) == {"ratio 0, dataset a.Digits, mixing Replace, model m.Gaussian"}


def test_the_page_ascribes_no_difference_to_one_setting_where_others_differ_too() -> None:
    collection = gathered(unlike())
    too = "dataset, mixing and model differ too"
    assert collection.too == too
    assert f"at ratio 0 and 2.6 at ratio 0.5, where {too}" in headline(collection)[0]
    assert scope(collection).endswith(f"ratio: 0, 0.5 · {too}")
    dose = section(collection)
    assert dose is not None
    assert f"A change need not come from ratio: {too}." in dose.note
    beside = gathered([run({METRIC: [1.0, 2.0 + r]}, ratio=r, n_train=9 + 9 * r) for r in (0.0, 0.5)])
    assert (beside.knobs, beside.followers, beside.too) == (("ratio",), ("n_train",), "n_train differs too")
    alone = gathered([run({METRIC: [1.0, 2.0 + r]}, ratio=r, mixing={"ratio": r, "alpha": r}) for r in (0.0, 0.5)])
    assert alone.too == ""


@pytest.mark.parametrize(
    ("seeds", "knobs", "sizes"),
    [((0, 1, 2, 3), ("ratio",), [2, 2]), ((0, 0, 1, 1), ("ratio", "metrics.spread._target_"), [1, 1, 1, 1])],
    ids=["seeds of their own", "seeds in common"],
)
def test_a_metric_that_some_runs_lack_tells_runs_apart_only_where_nothing_else_does(
    seeds: Sequence[int], knobs: tuple[str, ...], sizes: list[int]
) -> None:
    fid, spread = {"fid": {"_target_": "FID"}}, {"spread": {"_target_": "Spread", "k": 1}}
    runs = [
        run({METRIC: [1.0, 2.0]}, seed, ratio=i // 2, metrics=fid | (spread if i % 2 else {}))
        for i, seed in enumerate(seeds)
    ]
    collection = gathered(runs)
    assert collection.knobs == knobs
    assert [len(group.runs) for group in collection.seed_groups] == sizes
    assert collection.settings == ("ratio", "metrics.spread._target_", "metrics.spread.k")
    assert collection.too == ""


def test_a_side_whose_runs_differ_in_more_than_the_seed_is_refused() -> None:
    side = [run({METRIC: [1.0, 2.0]}, seed, n_train=100 + seed) for seed in (0, 1)]
    with pytest.raises(UserError, match="the runs of one side differ in n_train besides the seed"):
        _paired(side, side)
    longer = [run({METRIC: [1.0] * (2 + seed)}, seed) for seed in (0, 1)]
    assert len(_paired(longer, longer)) == 2


def test_runs_whose_policy_has_no_share_stand_beside_the_doses_and_are_none() -> None:
    runs = [
        run({METRIC: [1.0, 2.0 + seed]}, seed, **ratio, mixing={"_target_": policy})
        for ratio, policy in (({}, REPLACE), ({"ratio": 0.5}, ADD), ({"ratio": 0}, ADD))
        for seed in (1, 0)
    ]
    collection = gathered(runs)
    assert collection.knobs == ("ratio", "mixing._target_")
    assert collection.dose == "ratio"
    assert [group.knobs["ratio"] for group in collection.dosed] == [0, 0.5]
    (response,) = responses(collection, METRIC)
    assert response.doses.tolist() == [0, 0.5]
    page = section(collection)
    assert page is not None
    assert chosen_axes(collection) is None
    table = of_collection(collection)
    order = [(0, 0), (0, 1), (0.5, 0), (0.5, 1), (None, 0), (None, 1)]
    rows = table[table.generation == 1]
    found = [(None if math.isnan(ratio) else ratio, seed) for ratio, seed in zip(rows.ratio, rows.seed, strict=True)]
    assert found == order
