"""Too little memory of a GPU for the frozen networks: the message names what to lower, not the rows of a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from transformers import CLIPTextModel

from collapse_lab.errors import UserError
from collapse_lab.models.latent import Latent
from tests.models.cases import QUIET, budget, conditions, draw, place
from tests.models.test_latent_diffusion import fitted, ld
from tests.models.test_stable_diffusion import TEXTS, rows, sd

PICTURES = r"too small to encode 3 pictures at a time; lower model\.encoding_batch\. What is finished is kept$"
PROMPTS = PICTURES.replace("pictures", "prompts")


def full(*inputs: Any, **settings: Any) -> Any:
    raise torch.OutOfMemoryError


def fit(model: Latent) -> None:
    model.fit(rows(), budget(4), place(), QUIET)


def draw_from_pictures(model: Latent) -> None:
    draw(model, replace(conditions([*TEXTS]), context=rows(2).data))


@pytest.mark.parametrize(
    ("network", "work", "message"),
    [
        ((AutoencoderKL, "encode"), fit, PICTURES),
        ((AutoencoderKL, "encode"), draw_from_pictures, PICTURES),
        ((CLIPTextModel, "forward"), fit, PROMPTS),
        ((CLIPTextModel, "forward"), draw_from_pictures, PROMPTS),
    ],
    ids=["pictures of a fit", "pictures to start from", "prompts of a fit", "prompts to draw"],
)
def test_encoders_that_do_not_fit_name_the_batch_of_encodings(
    folders: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    network: tuple[type, str],
    work: Callable[[Latent], None],
    message: str,
) -> None:
    model = sd(folders["1.x"], encoding_batch=3, strength=0.5)
    monkeypatch.setattr(*network, full)
    with pytest.raises(UserError, match=message):
        work(model)


def test_one_picture_or_the_networks_alone_may_be_too_large(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    otherwise = r"; end what else computes on this GPU, or give device=cpu\."
    model = sd(folders["1.x"], encoding_batch=1)
    with monkeypatch.context() as patch:
        patch.setattr(AutoencoderKL, "encode", full)
        with pytest.raises(UserError, match=f"to encode one picture{otherwise}"):
            fit(model)
    monkeypatch.setattr(model, "to", full)
    with pytest.raises(UserError, match=f"to hold the networks of the model{otherwise}"):
        fit(model)


@pytest.mark.parametrize("warm", [False, True])
def test_a_fit_that_encodes_by_an_autoencoder_of_its_own_names_it_too(
    warm: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ld(encoding_batch=3)
    if warm:
        model.load(fitted().weights())
    encode = model.vae.encode

    def encoded(x: torch.Tensor) -> Any:
        if not torch.is_grad_enabled():  # training has gradients, encoding has none
            raise torch.OutOfMemoryError
        return encode(x)

    monkeypatch.setattr(model.vae, "encode", encoded)
    with pytest.raises(UserError, match=PICTURES):
        model.fit(rows(), budget(4, warm=warm), place(), QUIET)
