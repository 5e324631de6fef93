from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from collapse_lab.packing.requests import Fit, Sampling

from collapse_lab.errors import Diverged, UserError
from collapse_lab.nn.samplers import Sampler
from collapse_lab.packing import groups, stack
from collapse_lab.packing.groups import Bench, furthest_behind, likeness, obstacle
from collapse_lab.packing.turns import ask, together
from tests.models.cases import budget
from tests.packing.cases import fit, sampling

FIT, SAMPLE, GRID = range(3)


def test_the_chain_that_is_furthest_behind_goes_first_with_all_that_are_alike() -> None:
    when = [(1, SAMPLE), (1, FIT), (3, FIT), (1, FIT), (0, GRID)]
    assert furthest_behind(when, ["s", "f", "f", "f", "g"]) == [4]
    assert furthest_behind(when[:4], ["s", "f", "f", "f"]) == [1, 2, 3]
    assert furthest_behind(when[:4], ["s", None, "f", None]) == [1]
    assert furthest_behind(when[:1], ["s"]) == [0]


def test_the_phases_of_a_generation_have_an_order() -> None:
    asked: list[Fit | Sampling] = [fit("ddim", 0, generation=2), sampling("ddim", 0, generation=2)]
    grid = sampling("ddim", 0, generation=2, role="grid/all")
    assert [each.when for each in [*asked, grid]] == [(2, FIT), (2, SAMPLE), (2, GRID)]


@pytest.mark.parametrize(
    "other",
    [
        lambda: fit("ddpm", 5),
        lambda: fit("ddpm", 0, generation=4),
        lambda: fit("ddpm", 0, guidance_scale=7.0),
        lambda: fit("ddpm", 0, sampling_batch=3),
    ],
)
def test_fits_that_differ_in_seeds_data_or_guidance_are_alike(other: Callable[[], Fit]) -> None:
    assert likeness(other()) == likeness(fit("ddpm", 0))


@pytest.mark.parametrize(
    "other",
    [
        lambda: fit("ddim", 0),
        lambda: fit("ddpm", 0, budget(steps=7)),
        lambda: fit("ddpm", 0, budget(batch_size=9)),
        lambda: fit("ddpm", 0, budget(gradient_clip=None)),
        lambda: fit("ddpm", 0, lr=2e-3),
        lambda: fit("ddpm", 0, channels=(8, 8)),
        lambda: fit("ddpm", 0, objective="v"),
        lambda: sampling("ddpm", 0),
    ],
)
def test_fits_that_differ_otherwise_are_not(other: Callable[[], Fit | Sampling]) -> None:
    assert likeness(other()) != likeness(fit("ddpm", 0))


def test_what_is_sampled_together_may_differ_in_guidance_alone() -> None:
    one = likeness(sampling("ddpm", 0))
    assert likeness(sampling("ddpm", 3, guidance_scale=1.0, generation=2)) == one
    for other in (
        sampling("ddpm", 0, n=6),
        sampling("ddpm", 0, guidance_interval=(0.1, 1.0)),
        sampling("ddpm", 0, sampling_batch=3),
        sampling("ddpm", 0, channels=(8, 8)),
    ):
        assert likeness(other) != one


def test_what_cannot_be_packed_says_why() -> None:
    assert obstacle(fit("text2image", 0)) is None
    assert obstacle(sampling("ddpm", 0)) is None
    dropping, holding = fit("ddim", 0), fit("ddim", 0)
    network: Any = dropping.model
    network.extra = torch.nn.Dropout(0.1)
    network = holding.model
    network.register_buffer("seen", torch.zeros(1))
    for request, reason in (
        (dropping, "dropout"),
        (holding, "buffers"),
        (fit("ddim", 0, budget(precision="bf16-mixed")), "bf16-mixed"),
        (sampling("ddpm", 0, sampler=Sampler(steps=2, options={"thresholding": True})), "thresholding"),
    ):
        assert reason in str(obstacle(request))


def served(requests: Sequence[Fit | Sampling]) -> list[BaseException | None]:
    return together([lambda each=each: ask(each) for each in requests], len(requests), Bench().serve)  # type: ignore[misc]


def test_a_pack_that_fails_is_done_one_by_one(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "fit_together", lambda fits: 1 / 0)
    done: list[Any] = []
    monkeypatch.setattr(Fit, "alone", lambda self: done.append(self))
    requests = [fit("ddpm", seed) for seed in (0, 1)]
    with caplog.at_level(logging.WARNING):
        assert served(requests) == [None, None]
    assert done == requests
    assert caplog.messages == ["trainer.pack: 2 at once failed (division by zero); they are done one after the other"]


def test_what_cannot_be_packed_is_done_alone_and_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    together_calls: list[int] = []
    monkeypatch.setattr(groups, "_packed", lambda requests: together_calls.append(len(requests)))
    half = budget(steps=1, precision="bf16-mixed")
    monkeypatch.setattr(Fit, "alone", lambda self: None)
    with caplog.at_level(logging.WARNING):
        assert served([fit("ddpm", seed, half) for seed in (0, 1, 2)]) == [None] * 3
    assert together_calls == []
    assert len(caplog.messages) == 1
    assert "one after the other" in caplog.messages[0]


def test_errors_reach_the_cell_that_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    gone, wrong = Diverged("of the first"), UserError("of the second")
    monkeypatch.setattr(stack, "sample_together", lambda asked: [gone, wrong, None])
    assert served([sampling("ddpm", seed) for seed in range(3)]) == [gone, wrong, None]
