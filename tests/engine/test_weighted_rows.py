"""Rows that have weights: batches have them in these shares, and every family of networks trains by them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from collapse_lab import compose, prepare
from collapse_lab.engine.executor import Alone
from collapse_lab.engine.fitting import RandomRows
from collapse_lab.types import Budget, FitRequest, Samples, Weights
from tests.models import cases, test_vae
from tests.models import test_causal_lm as texts
from tests.models.cases import place

STEPS, BATCH = 400, 50
WEIGHTS = np.repeat([0.001, 0.5, 2.0], [10, 20, 30])


def test_rows_are_drawn_as_often_as_their_weights_say() -> None:
    drawn = torch.cat(list(RandomRows(60, Budget(STEPS, BATCH), place(), WEIGHTS)))
    assert len(drawn) == STEPS * BATCH
    expected = len(drawn) * WEIGHTS / WEIGHTS.sum()
    seen = np.bincount(drawn.numpy(), minlength=60)
    chi_square = float(((seen[10:] - expected[10:]) ** 2 / expected[10:]).sum())
    assert chi_square < 49 + 4 * np.sqrt(2 * 49)  # 4 standard errors; the ten rare rows are 3 of 20,000 and come next
    assert abs(seen[:10].sum() - expected[:10].sum()) < 4 * np.sqrt(expected[:10].sum())


def test_the_mean_loss_of_batches_is_the_weighted_mean_over_all_rows() -> None:
    losses = np.random.default_rng(0).normal(size=60)
    means = np.array([losses[rows].mean() for rows in RandomRows(60, Budget(STEPS, BATCH), place(), WEIGHTS)])
    weighted = float(losses @ WEIGHTS / WEIGHTS.sum())
    assert abs(means.mean() - weighted) < 4 * means.std() / np.sqrt(STEPS)
    assert abs(means.mean() - losses.mean()) > 4 * means.std() / np.sqrt(STEPS)  # and so the weights are told apart


def test_the_same_place_draws_the_same_rows() -> None:
    first, again = (list(RandomRows(60, Budget(5, 7), place(), WEIGHTS)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


FITTED: dict[str, tuple[Callable[[], Any], Callable[[], Samples]]] = {
    "text2image": (cases.tiny, lambda: replaced(cases.DATA.load().train)),
    "ddpm": (cases.tiny_ddpm, lambda: replaced(cases.DATA.load().train)),
    "vae": (test_vae.vae, lambda: replaced(cases.DATA.load().train)),
    "causal_lm": (texts.built, lambda: texts.counting(16)),
}


def replaced(samples: Samples) -> Samples:
    """Return the first 16 rows, which a test may write to."""
    first = samples.take(np.arange(16))
    return replace(first, data=first.data.clone())


@pytest.mark.parametrize("family", FITTED)
def test_a_fit_reads_no_row_of_weight_0_and_reads_those_that_have_some(family: str) -> None:
    build, rows = FITTED[family]

    def fitted(changed: slice) -> Weights:
        model, data = build(), rows()
        data.data[changed] = data.data[changed].flip(-1)
        Alone().fit(FitRequest(model, {}, data, cases.budget(3, 4), cases.place(), cases.QUIET, row_weights=half))
        trained: Weights = model.weights()
        return trained

    half = np.repeat([2.0, 0.0], 8)
    untouched, without, counted = fitted(slice(0)), fitted(slice(8, 16)), fitted(slice(8))
    assert all(torch.equal(untouched[name], without[name]) for name in untouched)
    assert any(not torch.equal(untouched[name], counted[name]) for name in untouched)


def test_a_population_of_networks_trains_by_weights_of_its_sources(tmp_path: Path) -> None:
    small = [
        "model.sampler.steps=1",
        "trainer.steps=2",
        "trainer.finetune_steps=2",
        "+scale=tiny",
        "generations=1",
        "sinks=[]",
        "device=cpu",
        "features=[pixels]",
        "metrics=[fid]",
    ]
    run = prepare(
        compose("+experiment=interacting_images", *small, "ratio=0.01", "mixing.by=weights", f"paths.runs={tmp_path}")
    )
    result = run.run()
    assert result.status == "ok"
    last = next(record for record in result.records if record.generation == 1 and record.model == "a")
    # All rows of each source, although those of the models have a share of a hundredth: nothing is rounded away
    assert {name: last.counts[name] for name in ("from_a", "from_b", "synthetic")} == {
        "from_a": 64,
        "from_b": 64,
        "synthetic": 128,
    }
