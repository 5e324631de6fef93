"""What the annotations of the families' constructors refuse, before anything is built."""

from __future__ import annotations

import inspect
from dataclasses import asdict, replace
from typing import Any

import pytest

from collapse_lab.config.binding import bind, import_target
from collapse_lab.errors import UserError
from collapse_lab.nn.optimisation import Optimisation

FAMILIES = {
    "causal_lm": "collapse_lab.models.causal_lm.CausalLM",
    "ddim": "collapse_lab.models.ddim.DDIM",
    "ddpm": "collapse_lab.models.ddpm.DDPM",
    "discrete": "collapse_lab.models.discrete.Discrete",
    "gaussian": "collapse_lab.models.gaussian.Gaussian",
    "gmm": "collapse_lab.models.gmm.GaussianMixture",
    "kde": "collapse_lab.models.kde.KDE",
    "latent_diffusion": "collapse_lab.models.latent_diffusion.LatentDiffusion",
    "linear_regression": "collapse_lab.models.linear_regression.LinearRegression",
    "rkhs": "collapse_lab.models.rkhs.RKHS",
    "stable_diffusion": "collapse_lab.models.stable_diffusion.StableDiffusion",
    "text2image": "collapse_lab.models.text2image.Text2Image",
    "vae": "collapse_lab.models.vae.VAE",
}
SETTINGS = Optimisation(lr=1e-3, lr_schedule="cosine", weight_decay=0.0, warmup=0.05, ema_decay=0.9)


def bound(family: str, **arguments: Any) -> dict[str, Any]:
    return bind({"_target_": FAMILIES[family], **arguments}, "model", frozenset({"spec"}))


def node(**changes: Any) -> dict[str, Any]:
    return {"_target_": "collapse_lab.nn.optimisation.Optimisation", **asdict(SETTINGS), **changes}


@pytest.mark.parametrize(
    ("family", "arguments", "message"),
    [
        ("causal_lm", {"architecture": "gpt3"}, "is one of gpt2, opt, llama; got 'gpt3': did you mean 'gpt2'"),
        ("causal_lm", {"width": 0}, r"model\.width is 1 or more; got 0"),
        ("causal_lm", {"layers": 0}, r"model\.layers is 1 or more; got 0"),
        ("causal_lm", {"heads": 0}, r"model\.heads is 1 or more; got 0"),
        ("causal_lm", {"dropout": 1.0}, r"model\.dropout is in \[0, 1\); got 1\.0"),
        ("causal_lm", {"num_beams": 0}, r"model\.num_beams is 1 or more; got 0"),
        ("causal_lm", {"sampling_batch": 0}, r"model\.sampling_batch is 1 or more; got 0"),
        ("causal_lm", {"temperature": 0.0}, r"model\.temperature is above 0; got 0\.0"),
        ("causal_lm", {"top_p": 0.0}, r"model\.top_p is in \(0, 1\]; got 0\.0"),
        ("causal_lm", {"top_p": 1.1}, r"model\.top_p is in \(0, 1\]; got 1\.1"),
        ("causal_lm", {"repetition_penalty": 0.0}, r"model\.repetition_penalty is above 0; got 0\.0"),
        ("ddim", {"loss": "huber"}, r"model\.loss is one of mse, mae; got 'huber'"),
        ("ddim", {"timesteps": 0}, r"model\.timesteps is 1 or more; got 0"),
        ("ddim", {"norm_groups": 0}, r"model\.norm_groups is 1 or more; got 0"),
        ("ddim", {"attention_head_dim": 0}, r"model\.attention_head_dim is 1 or more; got 0"),
        (
            "ddpm",
            {"objective": "epsilon"},
            r"model\.objective is one of eps, v, flow; got 'epsilon': did you mean 'eps'",
        ),
        ("ddpm", {"objective": "flwo"}, r"model\.objective is one of eps, v, flow; got 'flwo': did you mean 'flow'"),
        ("ddpm", {"noise_schedule": "lineer"}, r"is one of linear, .* got 'lineer': did you mean 'linear'"),
        ("ddpm", {"label_dropout": 1.0}, r"model\.label_dropout is in \[0, 1\); got 1"),
        ("discrete", {"categories": 0}, r"model\.categories is 1 or more; got 0"),
        ("gaussian", {"replicas": 0}, r"model\.replicas is 1 or more; got 0"),
        ("gaussian", {"estimator": "biased"}, r"model\.estimator is one of unbiased, ml; got 'biased'"),
        (
            "gaussian",
            {"covariance": "diag"},
            r"model\.covariance is one of full, diagonal; got 'diag': did you mean 'di",
        ),
        ("gmm", {"components": 0}, r"model\.components is 1 or more; got 0"),
        ("gmm", {"max_iter": 0}, r"model\.max_iter is 1 or more; got 0"),
        ("gmm", {"tol": -1.0}, r"model\.tol is 0 or more; got -1\.0"),
        ("gmm", {"reg_covar": -1e-9}, r"model\.reg_covar is 0 or more; got -1e-09"),
        ("gmm", {"reg_covar": float("nan")}, r"model\.reg_covar takes a finite number; got nan"),
        ("gmm", {"covariance": "tied"}, r"model\.covariance is one of full, diagonal; got 'tied'"),
        (
            "kde",
            {"bandwidth": "scot"},
            r"model\.bandwidth is one of scott, silverman; got 'scot': did you mean 'scott'",
        ),
        ("kde", {"bandwidth": 0.0}, r"model\.bandwidth is above 0; got 0\.0"),
        ("kde", {"bandwidth": float("inf")}, r"model\.bandwidth takes a finite number; got inf"),
        (
            "latent_diffusion",
            {"objective": "flow"},
            r"model\.objective is one of eps, v; got 'flow'",
        ),
        (
            "latent_diffusion",
            {"autoencoder": {"_target_": "collapse_lab.nn.autoencoder.Autoencoder", "share": 1.0}},
            r"model\.autoencoder\.share is in \[0, 1\); got 1\.0",
        ),
        ("linear_regression", {"noise": 0.0}, r"model\.noise is above 0; got 0\.0"),
        ("linear_regression", {"noise": float("inf")}, r"model\.noise takes a finite number; got inf"),
        ("linear_regression", {"inputs": "new"}, r"model\.inputs is one of same, fresh, given; got 'new'"),
        ("rkhs", {"ridge": 0.0}, r"model\.ridge is above 0; got 0\.0"),
        ("stable_diffusion", {"prompt_dropout": 1.0}, r"model\.prompt_dropout is in \[0, 1\); got 1\.0"),
        ("stable_diffusion", {"encoding_batch": 0}, r"model\.encoding_batch is 1 or more; got 0"),
        (
            "stable_diffusion",
            {"sampling_precision": "bf16"},
            r"model\.sampling_precision is one of 32-true, bf16-mixed; got 'bf16': did you mean 'bf16-mixed'",
        ),
        ("text2image", {"prompt_dropout": 1.0}, r"model\.prompt_dropout is in \[0, 1\); got 1\.0"),
        ("text2image", {"sampling_batch": 0}, r"model\.sampling_batch is 1 or more; got 0"),
        (
            "text2image",
            {"sampler": {"_target_": "collapse_lab.nn.samplers.Sampler", "steps": 0}},
            r"steps is 1 or more",
        ),
        ("vae", {"channels": 0}, r"model\.channels is 1 or more; got 0"),
        ("vae", {"latent": -1}, r"model\.latent is 1 or more; got -1"),
        ("vae", {"sampling_batch": 0}, r"model\.sampling_batch is 1 or more; got 0"),
        ("vae", {"beta": -0.1}, r"model\.beta is 0 or more; got -0\.1"),
    ],
    ids=str,
)
def test_a_value_outside_of_its_annotation_is_refused(family: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        bound(family, **arguments)


@pytest.mark.parametrize(
    "family", ["causal_lm", "ddim", "ddpm", "latent_diffusion", "stable_diffusion", "text2image", "vae"]
)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0.0}, r"model\.optimisation\.lr is above 0; got 0\.0"),
        (
            {"lr_schedule": "cosin"},
            r"lr_schedule is one of cosine, cosine_epochs, linear, constant; got 'cosin': did you mean 'cosine'",
        ),
        ({"weight_decay": -1.0}, r"model\.optimisation\.weight_decay is 0 or more; got -1\.0"),
        ({"weight_decay": float("nan")}, r"model\.optimisation\.weight_decay takes a finite number; got nan"),
        ({"warmup": 1.0}, r"model\.optimisation\.warmup is in \[0, 1\); got 1\.0"),
        ({"ema_decay": -0.1}, r"model\.optimisation\.ema_decay is in \[0, 1\); got -0\.1"),
        ({"momentum": 0.9}, r"model\.optimisation\.momentum: Optimisation has no such argument"),
    ],
    ids=str,
)
def test_wrong_settings_of_the_optimisation_are_refused(family: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        bound(family, optimisation=node(**changes))


@pytest.mark.parametrize(
    "family", ["causal_lm", "ddim", "ddpm", "latent_diffusion", "stable_diffusion", "text2image", "vae"]
)
def test_the_optimisation_is_part_of_an_identity_unless_it_is_the_default(family: str) -> None:
    parameters = inspect.signature(import_target(FAMILIES[family], "model")).parameters
    default: Optimisation = parameters["optimisation"].default
    assert bound(family, optimisation=node(**asdict(default))) == bound(family)
    changed = bound(family, optimisation=node(**asdict(replace(default, lr=0.5))))
    assert changed["arguments"]["optimisation"]["arguments"]["lr"] == 0.5
    assert "optimisation" not in import_target(FAMILIES[family], "model").sampling_only


def test_no_family_has_the_settings_of_the_optimisation_as_arguments_of_its_own() -> None:
    for family in FAMILIES:
        with pytest.raises(UserError, match=r"model\.lr: .* has no such argument"):
            bound(family, lr=0.1)
