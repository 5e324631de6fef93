"""A computed run, read in Python: its table, samples, texts and models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import collapse_lab
from collapse_lab.errors import UserError
from collapse_lab.sharing.opened import OpenRun
from collapse_lab.storage.ledger import Ledger
from tests.sharing.runs import DIGITS, LANGUAGE, NET, TEXT, computed

MEASURED = ["n_samples=8", "features=[pixels]", "metrics=[fid]", "metrics.fid.bootstrap=5"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("opened") / "runs"
    return computed(runs, *DIGITS, *NET, *TEXT, "generations=1", *MEASURED)


@pytest.fixture(scope="module")
def run(folder: Path) -> OpenRun:
    return collapse_lab.open(folder)


def test_a_table_has_a_row_for_each_number_with_its_interval_and_floor(run: OpenRun, folder: Path) -> None:
    table = run.frame()
    ledger = Ledger(folder / "ledger.jsonl").records()
    assert [int(g) for g in table["generation"]] == [0, 1]
    for row, record in zip(table.itertuples(), ledger, strict=True):
        assert (row.name, row.subset, row.features, row.metric) == ("all/pixels/fid", "all", "pixels", "fid")
        names = ("all/pixels/fid", "all/pixels/fid_lo", "all/pixels/fid_hi", "all/pixels/fid_floor")
        assert [row.value, row.lo, row.hi, row.floor] == [record.metrics[name] for name in names]
        assert np.isnan(row.theory)
    assert set(table["seed"]) == {0}


def test_tables_of_several_runs_have_what_differs_between_them_as_a_column(folder: Path) -> None:
    other = computed(folder.parents[1], *DIGITS, *NET, *TEXT, "generations=1", *MEASURED, "ratio=1")
    table = collapse_lab.frame([folder, other])
    assert sorted(set(table["ratio"])) == [0.5, 1]
    assert len(table) == 4
    assert list(collapse_lab.frame(folder.parents[1])) == list(table)
    compared = collapse_lab.open(other).compare(collapse_lab.open(folder))
    first, last = compared["difference"]
    values = table.set_index(["ratio", "generation"])["value"]
    assert first == 0  # generation 0 is the same
    assert last == values[1.0, 1] - values[0.5, 1]


def test_samples_are_those_of_the_store_and_a_model_draws_others(run: OpenRun) -> None:
    samples = run.samples(1)
    assert samples.data.shape == (8, 1, 8, 8)
    assert samples.captions.texts() == run.samples(1, "all").captions.texts()
    assert not torch.equal(samples.data, run.samples(0).data)
    model = run.model(1)
    drawn = model.sample(3)
    assert drawn.data.shape == (3, 1, 8, 8)
    assert torch.equal(drawn.data, run.model(1).sample(3).data)
    assert not torch.equal(drawn.data, model.sample(3, seed=1).data)
    assert not torch.equal(drawn.data, samples.data[:3])


def test_texts_are_those_that_a_generation_wrote(tmp_path: Path) -> None:
    run = collapse_lab.open(computed(tmp_path / "runs", *LANGUAGE))
    assert len(run.texts(0)) == 4
    assert all(isinstance(text, str) for text in run.texts(0))


def test_what_is_not_there_is_refused_with_what_is(run: OpenRun, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"no prompt set 'seen': it has all; own prompts go to .*`collapse-lab export RUN"
    ):
        run.samples(1, "seen")
    with pytest.raises(UserError, match="the generations 0 to 1, and not 7"):
        run.model(7)
    with pytest.raises(UserError, match="a run without texts"):
        run.texts(0)
    with pytest.raises(UserError, match="is not there: give a folder such as"):
        collapse_lab.open(tmp_path / "nowhere")
    with pytest.raises(UserError, match="is not there"):
        collapse_lab.frame(tmp_path / "nowhere")
    model = run.model(1)
    for wrong in (["the digit 3 in pencil"], 0, True):
        with pytest.raises(UserError, match=r"takes a number of samples, 1 or more, and got .*; own prompts go to"):
            model.sample(wrong)  # type: ignore[arg-type]
    assert repr(model) == f"<{type(model.module).__name__} of generation 1, member model, of {run.folder}>"
    assert "seed 0, up to generation 1" in repr(run)
