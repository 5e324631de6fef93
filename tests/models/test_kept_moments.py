"""Check that a warm fit goes on with the moments of the fit before, if the optimisation keeps them.

All steps of these fits have the same rows, noise and times, and the rate is constant. So two fits of k steps, of which
the second goes on with the moments, are one fit of 2k steps, bit for bit, where no moving average stands between them.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.training_utils import EMAModel
from safetensors import safe_open
from torch import Tensor

from collapse_lab import compose, prepare
from collapse_lab.models.diffusion import Diffusion
from collapse_lab.nn.moments import PREFIX
from collapse_lab.nn.pixels import Pixels
from collapse_lab.types import Weights
from tests.e2e.command import entries, ledger, only_run
from tests.models.cases import DATA, FAMILIES, QUIET, budget, place, same, small
from tests.models.test_stable_diffusion import rows, sd

K, RATE = 5, 1e-3
KEPT: dict[str, Any] = {
    "lr": RATE,
    "finetune_state": "kept",
    "ema_decay": 0.0,
    "lr_schedule": "constant",
    "warmup": 0.0,
}


def pixels(family: str, folders: dict[str, Path], **changes: Any) -> Diffusion:
    return small(family, **changes)


def pipeline(kind: str, folders: dict[str, Path], **changes: Any) -> Diffusion:
    return sd(folders[kind], pixels=Pixels(), **changes)


MODELS: dict[str, Any] = {
    **{family: partial(pixels, family) for family in FAMILIES},
    "stable_diffusion": partial(pipeline, "1.x"),
    "adapters": partial(pipeline, "1.x", lora_rank=2),
}


@pytest.fixture(autouse=True)
def last_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a fit end with its last weights, because an average of decay 0 is them up to rounding alone."""
    monkeypatch.setattr(EMAModel, "copy_to", lambda average, parameters: None)


def fit(model: Diffusion, steps: int, warm: bool, start: Weights | None = None) -> Weights:
    """Fit a model whose steps are all alike, and return its weights."""
    if start is not None:
        model.load(start)
    kept: list[tuple[Tensor, ...]] = []
    draw = model.draw

    def always_the_first(numbers: Tensor) -> tuple[Tensor, ...]:
        if not kept:
            kept.append(draw(torch.arange(8)))
        return kept[0]

    model.draw = always_the_first  # type: ignore[method-assign, assignment]
    data = rows(16) if hasattr(model, "encoders") else DATA.load().train
    model.fit(data, budget(steps=steps, warm=warm, gradient_clip=None), place(), QUIET)
    return {name: value.clone() for name, value in model.weights().items()}


def apart(one: Weights, other: Weights) -> float:
    """Return the largest difference of two fits, as a share of how far the rate moves a weight in all steps."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one) / (2 * K * RATE)


def moments(weights: Weights) -> list[str]:
    return [name for name in weights if name.startswith(PREFIX)]


@pytest.mark.parametrize("family", MODELS)
def test_two_fits_with_the_moments_kept_are_one_fit_of_all_steps(family: str, folders: dict[str, Path]) -> None:
    build = MODELS[family]
    first = fit(build(folders, **KEPT), K, warm=False)
    twice = fit(build(folders, **KEPT), K, warm=True, start=first)
    assert moments(twice)
    assert same(twice, fit(build(folders, **KEPT), 2 * K, warm=False))


@pytest.mark.parametrize("family", MODELS)
def test_two_fits_of_which_each_begins_without_moments_are_not(family: str, folders: dict[str, Path]) -> None:
    build, reset = MODELS[family], {**KEPT, "finetune_state": "reset"}
    first = fit(build(folders, **reset), K, warm=False)
    assert moments(first) == []
    twice = fit(build(folders, **reset), K, warm=True, start=first)
    assert twice.keys() == first.keys()
    assert apart(twice, fit(build(folders, **reset), 2 * K, warm=False)) > 1e-3


def test_the_first_moments_are_those_of_a_plain_adamw(folders: dict[str, Path]) -> None:
    model = small("ddpm", **KEPT)
    weights = fit(model, 1, warm=False)
    # After one step they are (1 - beta) g and (1 - beta)^2 … of the same gradient: v (1 - b1)^2 = m^2 (1 - b2)
    for name, m in weights.items():
        if name.startswith(f"{PREFIX}exp_avg/"):
            v = weights[name.replace("exp_avg/", "exp_avg_sq/")]
            torch.testing.assert_close(v * (1 - 0.9) ** 2, m.square() * (1 - 0.99), rtol=1e-3, atol=1e-20)
    assert len(moments(weights)) == 3 * len(list(model.parameters()))


def test_moments_are_dropped_where_they_are_not_kept() -> None:
    weights = fit(small("ddpm", **KEPT), 1, warm=False)
    plain = small("ddpm", ema_decay=0.0)
    plain.load(weights)
    assert moments(plain.weights()) == []


def test_a_run_stores_moments_only_where_they_are_kept(tmp_path: Path) -> None:
    line = ["+experiment=nepotistic", "+scale=tiny", "ratio=0.5", "n_train=20", "n_samples=20", "generations=1"]
    line += ["trainer.steps=2", "trainer.finetune_steps=2", "trainer.batch_size=8", "model.sampler.steps=2"]
    line += ["features=[pixels]", "metrics=[fid]", "metrics.fid.bootstrap=0", "sinks=[]", "device=cpu"]
    paths = [f"paths.runs={tmp_path}", f"paths.data={tmp_path / 'data'}"]
    keys = {}
    for state in ("reset", "kept"):
        setting = f"model.optimisation.finetune_state={state}"
        prepare(compose(*line, *paths, f"name={state}", setting)).run()
        keys[state] = [entry["keys"]["fit"] for entry in ledger(only_run(tmp_path, state))]
    fits = {name: path for name, path in entries(tmp_path / ".store").items() if name.startswith("fit/")}
    held = {}
    for name, path in fits.items():
        with safe_open(path / "tensors.safetensors", "pt") as file:
            held[name] = any(tensor.startswith(PREFIX) for tensor in file.keys())  # noqa: SIM118
    assert len(held) == 4
    for state, wanted in (("reset", False), ("kept", True)):
        assert [held[name] for key in keys[state] for name in held if key in name] == [wanted, wanted]
