"""The dashboard of runs, and of every shipped sweep."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import pytest

from collapse_lab.cli.dashboard import sweep_of
from collapse_lab.cli.overrides import cells_of
from collapse_lab.report.dashboard import Dashboard, dashboard
from collapse_lab.results.collect import gathered
from collapse_lab.results.run import Run
from collapse_lab.types import Record
from tests.test_scripts import SCRIPTS, copy, lines  # noqa: F401


def of(spec: Dashboard, title: str) -> list[dict[str, Any]]:
    return next((part["panels"] for part in spec.plain()["sections"] if part["section"] == title), [])


def run(folder: Path, signature: str, config: dict[str, Any], models: tuple[str, ...] = ("model",)) -> Run:
    metrics = {"seen/classifier/fid": 3.0, "seen/classifier/fid_lo": 2.0, "seen/classifier/recall": 0.5}
    counts = {"real": 1, "synthetic": 1} | ({f"from_{m}": 1 for m in models} if len(models) > 1 else {})
    records = [Record(g, model, counts, metrics, {}, "ok", {}, {}) for g in range(2) for model in models]
    return Run(folder / signature, {"name": "x", "trainer": {"steps": 9}, **config}, tuple(records))


def test_a_sweep_has_curves_by_group_dose_and_response_rows_and_fits(tmp_path: Path) -> None:
    (tmp_path / "a" / "grids" / "seen").mkdir(parents=True)
    for generation in range(2):
        (tmp_path / "a" / "grids" / "seen" / f"model-g00{generation}.png").touch()
    (tmp_path / "a" / "texts" / "poems").mkdir(parents=True)
    runs = [run(tmp_path, f"{s}{r}" if s else "a", {"seed": s, "ratio": r}) for s in range(2) for r in (0, 1)]
    spec = dashboard(gathered(runs))
    assert (spec.title, spec.groups, spec.experiments) == ("x by ratio", ("ratio",), ("x",))
    assert [panel["names"] for panel in of(spec, "Over the generations")] == [
        ["seen/classifier/fid"],
        ["seen/classifier/recall"],
    ]
    assert [(p["x"], p["names"], p["better"]) for p in of(spec, "Dose and response")] == [
        ("ratio", ["seen/classifier/fid"], "lower"),
        ("ratio", ["seen/classifier/recall"], "higher"),
    ]
    assert of(spec, "What was generated") == [
        {"kind": "pictures", "title": "seen · model", "names": ["grids/seen/model"]}
    ]
    assert [p["names"] for p in of(spec, "Where training rows come from")] == [["counts/real", "counts/synthetic"]]
    assert [(p["x"], p["names"]) for p in of(spec, "Within the fits")] == [
        ("fit/generation", ["fit/loss"]),
        ("fit/generation", ["fit/learning_rate"]),
    ]
    assert [p["names"] for p in of(spec, "Texts and numbers")] == [["texts/poems"], ["ledger"]]


def test_members_are_lines_of_one_panel_and_their_rows_are_by_source(tmp_path: Path) -> None:
    config = {"seed": 0, "trainer": {"steps": 1}, "population": {"members": {"anna": {}, "bert": {}}}}
    runs = [run(tmp_path, str(ratio), {**config, "ratio": ratio}, ("anna", "bert")) for ratio in (0, 1)]
    spec = dashboard(gathered(runs))
    fids = [f"{name}/seen/classifier/fid" for name in ("anna", "bert")]
    assert of(spec, "Over the generations")[0]["names"] == fids
    assert [p["names"] for p in of(spec, "Where training rows come from")] == [
        [f"{name}/counts/{source}" for source in ("real", "from_anna", "from_bert")] for name in ("anna", "bert")
    ]
    assert [p["names"] for p in of(spec, "Dose and response")][:2] == [[fid] for fid in fids]
    assert [p["title"].rpartition(" · ")[2] for p in of(spec, "Dose and response")][:2] == ["anna", "bert"]
    assert of(spec, "Within the fits") == []


def nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.lstrip("+").split(".")):
        value = {part: value}
    return dict(value)


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_shipped_sweep_has_a_dashboard_and_a_sweep_for_agents(copy: Path, script: str) -> None:  # noqa: F811
    for words in lines(copy, script, "basic"):
        overrides = [word for word in words if "=" in word and not word.startswith("hydra/")]
        sweep = sweep_of(overrides, "me", "lab")
        swept = {key: values["values"] for key, values in sweep["parameters"].items()}
        cells = cells_of(overrides)
        assert len(cells) == prod(len(values) for values in swept.values())
        assert set(sweep["command"]) >= {word for word in overrides if word.partition("=")[0] not in swept}
        groups = {key: values for key, values in swept.items() if key != "seed" and len(values) > 1}
        runs = [
            run(Path(), f"{key}{value}", {"seed": 0, **nested(key, value)}) for key in groups for value in groups[key]
        ]
        spec = dashboard(gathered(runs or [run(Path(), "a", {"seed": 0})]))
        assert set(spec.groups) == {key.lstrip("+") for key in groups}
        assert of(spec, "Over the generations")
        doses = [key for key, values in groups.items() if all(isinstance(value, int | float) for value in values)]
        if len(groups) == 1:
            assert bool(of(spec, "Dose and response")) == bool(doses)
