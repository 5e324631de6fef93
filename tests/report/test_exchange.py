"""Gain against homogenisation, of made-up populations."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import yaml

from collapse_lab.report import exchange
from collapse_lab.results.collect import collect
from tests.report.test_members import write


def written(folder: Path, ratio: float) -> None:
    write(folder, ratio=ratio)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["population"] = {"private": {"a": "novels", "b": "speeches"}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def test_a_path_has_the_gain_on_the_domains_of_others_and_the_similarity(tmp_path: Path) -> None:
    for ratio in (0.0, 0.5):
        written(tmp_path / f"r{ratio}", ratio)
    collection = collect([tmp_path])
    name = next(name for name in collection.names if name.metric == "perplexity")
    path = exchange._path(collection.seed_groups[0], name, None)
    # The made-up perplexity of a model on the other's domain is divided by 1 + generation
    assert path[:, 1] == pytest.approx([math.log2(1 + generation) for generation in range(4)])
    assert path[:, 0] == pytest.approx([0.5, 0.6, 0.7, 0.8])
    section = exchange.section(collection)
    assert section is not None
    assert [plot.caption.title for plot in section.plots] == ["Gain on domains that a model never saw"]


def test_of_a_single_configuration_each_model_has_its_own_path(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    written(folder, 0.5)
    ledger = folder / "ledger.jsonl"
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    for line in lines:
        if line["model"] == "a":
            line["metrics"]["speeches/perplexity"] = 300.0  # so that a learns nothing of the other's domain
        else:
            line["metrics"]["novels/text_embedding/similarity_c"] = 0.0  # of a third model, which is none of a's
    ledger.write_text("".join(json.dumps(line) + "\n" for line in lines))
    collection = collect([folder])
    name = next(name for name in collection.names if name.metric == "perplexity")
    of_a, of_b = (exchange._path(collection.seed_groups[0], name, model) for model in "ab")
    assert of_a[:, 1].tolist() == [0, 0, 0, 0]
    assert of_b[:, 1] == pytest.approx([math.log2(1 + generation) for generation in range(4)])
    assert of_a[:, 0] == pytest.approx([0.5, 0.6, 0.7, 0.8])
    assert of_b[:, 0] == pytest.approx([0.25, 0.3, 0.35, 0.4])
    assert exchange.section(collection) is not None


def test_runs_without_private_domains_have_no_such_figure(tmp_path: Path) -> None:
    for ratio in (0.0, 0.5):
        write(tmp_path / f"r{ratio}", ratio=ratio)
    assert exchange.section(collect([tmp_path])) is None
