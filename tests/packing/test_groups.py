from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from collapse_lab.engine.executor import Alone
from collapse_lab.errors import Diverged, UserError
from collapse_lab.nn.samplers import Sampler
from collapse_lab.nn.selection import Selection
from collapse_lab.packing import groups, stack
from collapse_lab.packing.groups import Server, furthest_behind, likeness, obstacle, progress_of
from collapse_lab.packing.packed import run_packed
from collapse_lab.packing.turns import Body, together
from collapse_lab.types import Executor, FitRequest, SampleRequest
from tests.models.cases import budget
from tests.packing.cases import fit, sampling

Request = FitRequest | SampleRequest
FIT, SAMPLE, GRID = range(3)


def test_the_chain_that_is_furthest_behind_goes_first_with_all_requests_like_its_own() -> None:
    when = [(1, SAMPLE), (1, FIT), (3, FIT), (1, FIT), (0, GRID)]
    assert furthest_behind(when, ["s", "f", "f", "f", "g"]) == [4]
    assert furthest_behind(when[:4], ["s", "f", "f", "f"]) == [1, 2, 3]
    assert furthest_behind(when[:4], ["s", None, "f", None]) == [1]
    assert furthest_behind(when[:1], ["s"]) == [0]


def test_the_phases_of_a_generation_are_fit_then_sample_then_grid() -> None:
    requests: list[Request] = [fit("ddim", 0, generation=2), sampling("ddim", 0, generation=2)]
    grid = sampling("ddim", 0, generation=2, role="grid/all")
    assert [progress_of(request) for request in [*requests, grid]] == [(2, FIT), (2, SAMPLE), (2, GRID)]


@pytest.mark.parametrize(
    "other",
    [
        lambda: fit("ddpm", 5),
        lambda: fit("ddpm", 0, generation=4),
        lambda: fit("ddpm", 0, guidance_scale=7.0),
        lambda: fit("ddpm", 0, sampling_batch=3),
        lambda: fit("ddpm", 0, budget(rows=30)),
    ],
)
def test_fits_that_differ_in_seeds_data_or_guidance_are_alike(other: Callable[[], FitRequest]) -> None:
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
def test_fits_that_differ_in_anything_else_are_not_alike(other: Callable[[], Request]) -> None:
    assert likeness(other()) != likeness(fit("ddpm", 0))


def test_under_a_schedule_by_epochs_fits_to_other_numbers_of_rows_are_not_alike() -> None:
    few, many, again = (
        likeness(fit("ddpm", seed, budget(rows=n), lr_schedule="cosine_epochs"))
        for seed, n in ((0, 20), (0, 30), (5, 20))
    )
    assert few == again
    assert few != many


def test_models_that_are_sampled_together_may_differ_in_guidance_alone() -> None:
    one = likeness(sampling("ddpm", 0))
    assert likeness(sampling("ddpm", 3, guidance_scale=1.0, generation=2)) == one
    for other in (
        sampling("ddpm", 0, n=6),
        sampling("ddpm", 0, guidance_interval=(0.1, 1.0)),
        sampling("ddpm", 0, sampling_batch=3),
        sampling("ddpm", 0, channels=(8, 8)),
    ):
        assert likeness(other) != one


def test_a_request_that_cannot_be_packed_has_a_reason() -> None:
    assert obstacle(fit("text2image", 0)) is None
    assert obstacle(sampling("ddpm", 0)) is None
    dropping, holding = fit("ddim", 0), fit("ddim", 0)
    network: Any = dropping.model
    network.extra = torch.nn.Dropout(0.1)
    network = holding.model
    network.register_buffer("seen", torch.zeros(1))
    latent = fit("ddim", 0)
    network = latent.model
    network.packs = False  # as Stable Diffusion says
    for request, reason in (
        (dropping, "dropout"),
        (holding, "buffers"),
        (latent, "trains on latents"),
        (fit("ddim", 0, budget(precision="bf16-mixed")), "bf16-mixed"),
        (fit("ddim", 0, budget(accumulate=2)), "trainer.accumulate=2"),
        (fit("ddim", 0, finetune_state="kept"), "finetune_state=kept"),
        (fit("ddim", 0, budget(devices=2)), "trainer.devices=2"),
        (fit("ddim", 0, selection=Selection(every=3, features="pixels")), "model.selection.every=3"),
        (sampling("ddpm", 0, sampler=Sampler(steps=2, options={"thresholding": True})), "thresholding"),
    ):
        assert reason in str(obstacle(request))


def cell(request: Request) -> Body:
    """Return a cell that makes one request."""

    def body(executor: Executor) -> None:
        if isinstance(request, FitRequest):
            executor.fit(request)
        else:
            executor.sample(request)

    return body


def served(requests: Sequence[Request]) -> list[BaseException | None]:
    """Return what ended the cells that make these requests."""
    return together([cell(request) for request in requests], len(requests), Server().serve)


def test_requests_of_a_program_that_fails_are_fulfilled_one_by_one(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "fit_together", lambda fits: 1 / 0)
    done: list[Any] = []
    monkeypatch.setattr(Alone, "fit", lambda self, request: done.append(request))
    requests = [fit("ddpm", seed) for seed in (0, 1)]
    with caplog.at_level(logging.WARNING):
        assert served(requests) == [None, None]
    assert done == requests
    assert caplog.messages == ["trainer.pack: 2 at once failed (division by zero); they are done one after the other"]


def test_requests_that_cannot_be_packed_are_fulfilled_alone_with_one_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    together_calls: list[int] = []
    monkeypatch.setattr(groups, "_packed", lambda requests: together_calls.append(len(requests)))
    half = budget(steps=1, precision="bf16-mixed")
    done: list[FitRequest] = []
    monkeypatch.setattr(Alone, "fit", lambda self, request: done.append(request))
    with caplog.at_level(logging.WARNING):
        requests = [fit("ddpm", seed, half) for seed in (0, 1, 2)]
        assert served(requests) == [None] * 3
    assert together_calls == []
    assert done == requests
    assert len(caplog.messages) == 1
    assert "one after the other" in caplog.messages[0]


def test_an_error_is_raised_in_the_cell_whose_request_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    gone, wrong = Diverged("of the first"), UserError("of the second")
    monkeypatch.setattr(stack, "sample_together", lambda requests: [gone, wrong, None])
    assert served([sampling("ddpm", seed) for seed in range(3)]) == [gone, wrong, None]


def test_cells_that_are_alike_run_as_one_program_in_the_number_that_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []

    def fit_together(fits: Sequence[FitRequest]) -> list[None]:
        sizes.append(len(fits))
        return [None] * len(fits)

    monkeypatch.setattr(stack, "fit_together", fit_together)
    monkeypatch.setattr(Alone, "fit", lambda self, request: sizes.append(1))
    assert run_packed([cell(fit("ddpm", seed)) for seed in range(3)], pack=2) == [None] * 3
    assert sizes == [2, 1]
    assert run_packed([cell(fit("ddpm", seed)) for seed in range(2)], pack=1) == [None] * 2
    assert sizes == [2, 1, 1, 1]
