"""What a mirror holds beside curves: labels, hidden numbers, quantities of the chain, tables, and the lineage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collapse_lab import compose
from collapse_lab.sinks import tables
from collapse_lab.sinks.closing import NEVER, closing_numbers
from collapse_lab.sinks.lineage import nodes
from collapse_lab.sinks.wandb import Wandb
from collapse_lab.storage.store import entry_of
from collapse_lab.types import Record, RunInfo
from tests.sinks.test_wandb import SIGNATURE, contents, entries, mirrors

COMMIT = 40 * "a"


def line(generation: int, model: str = "a", **metrics: float) -> Record:
    """Return a line of a population of two, of which `a` is trained on samples of `b` alone from generation 1 on."""
    numbers = {name.replace("__", "/"): value for name, value in metrics.items()}
    counts = {"real": 5, "synthetic": 5 * (generation > 0), "from_a": 0, "from_b": 5 * (generation > 0)}
    keys = {"fit": f"f{model}{generation}", "sample": {"seen": f"s{model}{generation}", "unseen": "u"}}
    return Record(generation, model, counts, numbers, {"fit": 2.0}, "ok", keys, {})


def texts_of(folder: Path, model: str, generation: int) -> None:
    path = folder / "texts" / "seen" / f"{model}-g{generation:03d}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    examples = [{"prompt": f"p{n}", "text": f"{model}{generation}{n}"} for n in range(2)]
    path.write_text(json.dumps({"examples": examples}))


def everything(folder: Path) -> dict[str, list[Any]]:
    """Return the entries of the only mirror in a folder, by their kind."""
    from wandb.proto import wandb_internal_pb2

    contents(folder)  # because it waits for the end
    (mirror,) = mirrors(folder)
    (path,) = mirror.glob("*.wandb")
    found: dict[str, list[Any]] = {}
    for data in entries(path.read_bytes()):
        entry = wandb_internal_pb2.Record()
        entry.ParseFromString(data)
        kind = str(entry.WhichOneof("record_type"))
        found.setdefault(kind, []).append(getattr(entry, kind))
    return found


def test_a_mirror_has_labels_hidden_numbers_quantities_tables_and_the_lineage(tmp_path: Path) -> None:
    store = tmp_path / "store"
    stage = entry_of(store, "fit", "fa1")
    stage.mkdir(parents=True)
    (stage / "tensors.safetensors").write_bytes(b"weights")
    (tmp_path / "environment.json").write_text(json.dumps({"commit": COMMIT, "dirty": True}))
    config: dict[str, Any] = {"ratio": 0.5, "paths": {"store": str(store)}, "prompts": {"retrain": "seen"}}
    config["population"] = {"members": {"a": {}, "b": {}}}
    sink = Wandb(group="night", job_type="probe", tags=["emoji"], notes="first try", artifacts="files")
    sink.open(RunInfo("interacting_lm", SIGNATURE, tmp_path, config), [])
    for generation, recall in enumerate((0.8, 0.2)):
        for model in ("a", "b"):
            texts_of(tmp_path, model, generation)
            sink.record(
                line(generation, model, seen__recall=recall, seen__recall_lo=0.1, seen__recall_floor=0.9)
                if model == "a"
                else line(generation, model, seen__recall=0.5)
            )
    sink.close("ok")
    assert not sink.failed
    found = everything(tmp_path)
    run = found["run"][0]
    assert (run.run_group, run.job_type, list(run.tags), run.notes) == ("night", "probe", ["emoji"], "first try")
    assert run.git.commit == COMMIT
    environment = next(json.loads(u.value_json) for u in run.config.update if u.key == "environment")
    assert environment["dirty"] is True
    hidden = {metric.name for metric in found["metric"] if metric.options.hidden}
    assert hidden == {"a/seen/recall_lo", "a/seen/recall_floor"}
    summary = {i.key or "/".join(i.nested_key): json.loads(i.value_json) for s in found["summary"] for i in s.update}
    quantities = {"best/seen/recall": 0.8, "half_life/seen/recall": 0.5, "time_to_collapse/seen/recall": 1.0}
    assert {f"a/{name}": value for name, value in quantities.items()}.items() <= summary.items()
    assert summary["b/best/seen/recall"] == 0.5
    logged = {i.key or "/".join(i.nested_key) for h in found["history"] for i in h.item}
    assert {"ledger/_type", "texts/seen/_type"} <= logged
    made = {(a.name, alias): a for a in found["artifact"] if a.type == "fit" for alias in a.aliases if alias[0] == "g"}
    assert len(made) == 4
    fit = made[f"{SIGNATURE}-a-fit", "g1"]
    assert json.loads(fit.metadata)["made_from"] == [f"{SIGNATURE}-b-samples-seen:g0"]
    assert {entry.path for entry in fit.manifest.contents} == {"stage.json", "tensors.safetensors"}


def test_each_stage_says_what_it_was_made_from() -> None:
    info = RunInfo("x", "sig", Path(), {"prompts": {"retrain": "seen"}, "population": {"generates": {"b": "unseen"}}})
    first = nodes(info, line(0), [])
    assert [(n.name, n.kind, n.key, n.alias) for n in first] == [
        ("sig-a-fit", "fit", "fa0", "g0"),
        ("sig-a-samples-seen", "sample", "sa0", "g0"),
        ("sig-a-samples-unseen", "sample", "u", "g0"),
    ]
    assert [n.metadata["made_from"] for n in first] == [[], ["sig-a-fit:g0"], ["sig-a-fit:g0"]]
    fit, *_ = nodes(info, line(1), [line(0), line(0, "b")])
    assert fit.metadata["made_from"] == ["sig-b-samples-unseen:g0"]
    assert fit.metadata["counts"]["synthetic"] == 5
    own = Record(1, "m/1", {"real": 1, "synthetic": 1}, {}, {}, "ok", {"fit": "f", "sample": {"seen": "s"}}, {})
    before = Record(0, "m/1", {"real": 2, "synthetic": 0}, {}, {}, "ok", {"fit": "e", "sample": {"seen": "r"}}, {})
    fit, _ = nodes(info, own, [before])
    assert (fit.name, fit.metadata["made_from"]) == ("sig-m_1-fit", ["sig-m_1-samples-seen:g0"])
    assert nodes(info, Record(0, "m", {}, {}, {}, "diverged", {}, {}), []) == []


@pytest.mark.parametrize(
    ("fids", "time"), [((2.0, 5.0, 7.0), 1.0), ((2.0, 7.0, 2.0), NEVER), ((2.0,), None)], ids=["falls", "heals", "one"]
)
def test_the_quantities_of_a_chain(fids: tuple[float, ...], time: float | None) -> None:
    records = [line(g, seen__c__fid=fid, seen__c__fid_floor=1.0, seen__c__fid_lo=0.0) for g, fid in enumerate(fids)]
    numbers = closing_numbers(records)
    assert numbers["best/seen/c/fid"] == 2.0
    assert numbers.get("time_to_collapse/seen/c/fid") == time
    assert numbers.keys() <= {"best/seen/c/fid", "time_to_collapse/seen/c/fid"}


def test_a_half_life_that_did_not_come_is_minus_one() -> None:
    numbers = closing_numbers([line(g, seen__recall=0.8) for g in range(3)])
    assert numbers == {"best/seen/recall": 0.8, "half_life/seen/recall": NEVER}


def test_texts_are_a_table_in_which_those_of_one_prompt_stand_together(tmp_path: Path) -> None:
    for generation in range(3):
        texts_of(tmp_path, "a", generation)
    found = tables.texts(tmp_path, [line(0), line(1)])["seen"]
    assert found.columns == ["number", "prompt", "model", "generation", "text"]
    assert [(row[1], row[3], row[4]) for row in found.rows] == [
        ("p0", 0, "a00"),
        ("p0", 1, "a10"),
        ("p1", 0, "a01"),
        ("p1", 1, "a11"),
    ]


def test_members_and_domains_are_a_matrix_and_one_model_has_none() -> None:
    records = [line(0, "a", poems__perplexity=2.0, novels__perplexity=8.0), line(0, "b", poems__perplexity=9.0)]
    found = tables.matrices(records)
    assert list(found) == ["perplexity"]
    assert sorted(found["perplexity"].columns) == ["generation", "model", "novels", "poems"]
    rows = [dict(zip(found["perplexity"].columns, row, strict=True)) for row in found["perplexity"].rows]
    assert [(row["model"], row["poems"], row["novels"]) for row in rows] == [("a", 2.0, 8.0), ("b", 9.0, None)]
    assert tables.matrices(records[:1]) == {}


def test_a_pair_is_measured_once_and_its_similarity_stands_in_both_rows_of_the_matrix() -> None:
    of_two = [line(0, "a"), line(0, "b", poems__c__similarity_a=0.5, poems__c__similarity_a_lo=0.4), line(1, "a")]
    found = tables.matrices(of_two)
    assert list(found) == ["poems/c/similarity"]
    assert found["poems/c/similarity"].columns == ["generation", "model", "a", "b"]
    assert found["poems/c/similarity"].rows == [[0, "a", None, 0.5], [0, "b", 0.5, None], [1, "a", None, None]]
    of_three = [*of_two[:2], line(0, "c", poems__c__similarity_a=0.1, poems__c__similarity_b=0.2)]
    values = np.array([row[2:] for row in tables.matrices(of_three)["poems/c/similarity"].rows], float)
    assert np.array_equal(values, values.T, equal_nan=True)
    assert values[np.triu_indices(3, 1)].tolist() == [0.5, 0.1, 0.2]


def test_a_cell_of_a_sweep_is_grouped_by_the_sweep_and_a_run_by_its_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    line = ["+experiment=recursive_gaussian", "sinks=[wandb]"]
    monkeypatch.delenv("COLLAPSE_LAB_GROUP", raising=False)
    assert compose(*line).cfg.sinks.wandb.group is None
    monkeypatch.setenv("COLLAPSE_LAB_GROUP", "recursive_gaussian 1a2b3c")
    assert compose(*line).cfg.sinks.wandb.group == "recursive_gaussian 1a2b3c"


def test_artifacts_that_fail_cost_no_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Wandb()
    monkeypatch.setattr(sink, "_trace", lambda *_: 1 / 0)
    sink.open(RunInfo("x", SIGNATURE, tmp_path, {}), [])
    for generation in range(2):
        sink.record(line(generation, seen__recall=0.5))
    sink.close("ok")
    assert not sink.failed
    rows, _, _ = contents(tmp_path)
    assert [row["generation"] for row in rows if "seen/recall" in row] == [0, 1]
    assert [r.getMessage() for r in caplog.records if r.name.startswith("collapse_lab")] == [
        "Weights & Biases has no artifacts of this run (ZeroDivisionError: division by zero)"
    ]
