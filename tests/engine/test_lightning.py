"""What a fit leaves behind, and how its optimiser steps."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from collapse_lab.engine import lightning
from collapse_lab.models.diffusion import Diffusion
from collapse_lab.nn.optimisation import Optimisation
from collapse_lab.types import Checkpointing
from tests.models.cases import DATA, QUIET, budget, draw, fitted, place, same, tiny

PRECISIONS = ["32-true", "bf16-mixed"]


@contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def watched(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[Any]]:
    """Return a list that fills with weak references to every optimiser and moving average of a fit."""
    seen: list[weakref.ref[Any]] = []

    def remembering(make: Callable[..., Any], pick: Callable[[Any], Any]) -> Callable[..., Any]:
        def made(*arguments: Any, **named: Any) -> Any:
            result = make(*arguments, **named)
            seen.append(weakref.ref(pick(result)))
            return result

        return made

    monkeypatch.setattr(Optimisation, "adamw", remembering(Optimisation.adamw, lambda made: made["optimizer"]))
    monkeypatch.setattr(Optimisation, "average", remembering(Optimisation.average, lambda made: made))
    return seen


@pytest.mark.parametrize("checkpointed", [False, True])
def test_nothing_of_a_fit_outlives_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, checkpointed: bool) -> None:
    kept = Checkpointing(tmp_path / "fit.safetensors", "key", 1e-9) if checkpointed else None
    if kept is not None:  # so that the fit below goes on from the checkpoint of this one
        tiny().fit(DATA.load().train.take(np.arange(20)), budget(2), place(), QUIET, kept)
    seen = watched(monkeypatch)
    rows, model = DATA.load().train.take(np.arange(20)), tiny()  # a copy, because the data set keeps its own rows
    with no_collector():
        images = weakref.ref(rows.data)
        model.fit(rows, budget(2), place(), QUIET, kept)
        assert len(seen) == 2
        assert [reference() for reference in seen] == [None, None]
        del rows
        assert images() is None
        module = weakref.ref(model)
        del model
        assert module() is None


class Recorded(pl.Callback):
    """Keep the optimiser of a fit as it was at the first step."""

    def __init__(self) -> None:
        self.fused: list[Any] = []
        self.scales: list[bool] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.fused += [group["fused"] for optimiser in trainer.optimizers for group in optimiser.param_groups]
        self.scales += [getattr(optimiser, "_step_supports_amp_scaling", False) for optimiser in trainer.optimizers]


def recorded(monkeypatch: pytest.MonkeyPatch, model: Diffusion, precision: str, device: str) -> Recorded:
    record, trainer = Recorded(), pl.Trainer

    def with_record(*, callbacks: list[pl.Callback], **settings: Any) -> pl.Trainer:
        return trainer(callbacks=[*callbacks, record], **settings)

    monkeypatch.setattr(pl, "Trainer", with_record)
    model.fit(DATA.load().train, budget(2, device=device, precision=precision, gradient_clip=0.1), place(), QUIET)
    return record


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_cpu_takes_the_fused_step_in_full_precision_alone(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    record = recorded(monkeypatch, tiny(), precision, "cpu")
    assert record.fused == 2 * [precision == "32-true"]


@pytest.mark.gpu
@pytest.mark.parametrize("precision", [*PRECISIONS, "16-mixed"])
def test_a_gpu_takes_the_fused_step_and_clips_in_every_precision(
    monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    record = recorded(monkeypatch, tiny(), precision, "cuda")
    assert (record.fused, record.scales) == ([True, True], [False, False])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_fused_step_clips_in_mixed_precision_too(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    # A CPU has the fused step as well, so take it here as a GPU does
    monkeypatch.setattr(lightning, "fused", lambda module: True)
    record = recorded(monkeypatch, tiny(), precision, "cpu")
    assert (record.fused, record.scales) == ([True, True], [False, False])


def test_a_fused_step_gives_what_the_plain_step_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    fused = fitted(steps=3)
    monkeypatch.setattr(lightning, "fused", lambda module: False)
    plain = fitted(steps=3)
    for name, value in plain.weights().items():
        torch.testing.assert_close(fused.weights()[name], value, rtol=1e-4, atol=1e-6)


def test_a_model_is_fitted_twice_with_the_same_result() -> None:
    model, rows = tiny(), DATA.load().train
    start = {name: value.clone() for name, value in model.weights().items()}
    model.fit(rows, budget(2), place(), QUIET)
    first = {name: value.clone() for name, value in model.weights().items()}
    model.load(start)
    model.fit(rows, budget(2), place(), QUIET)
    assert same(model.weights(), first)
    assert len(draw(model)) == 5
