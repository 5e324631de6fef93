"""`+scale=paper` of the toy experiments: the sizes that the papers and their released codes have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from collapse_lab.config.composing import compose
from collapse_lab.config.scales import LARGER, UNSIZED
from collapse_lab.errors import UserError
from collapse_lab.experiment import prepare

CONF = Path(__file__).resolve().parents[2] / "conf"
SIZES: dict[str, dict[str, Any]] = {
    "recursive_gaussian": {"n_train": 100, "generations": 1000, "model.replicas": 1, "model.estimator": "ml"},
    "recursive_gmm": {"n_train": 1000, "generations": 2050, "model.replicas": 1, "model.tol": 1e-5},
    "recursive_vae": {"n_train": 30 * 60_160, "generations": 20, "model.latent": 20, "trainer.batch_size": 256},
    "error_sources": {"n_train": 1000, "generations": 2050, "model.replicas": 1, "model.components": 3},
    "interacting_linear": {
        "generations": 15,
        "dataset.dimension": 12,
        "dataset.rank.a": 3,
        "model.singular": "least_norm",
    },
    "mad": {"n_train": 60_000, "n_samples": 60_000, "model.timesteps": 500, "model.label_dropout": 0.1},
    "nepotistic_emoji": {"n_train": 900, "n_samples": 900, "generations": 5, "dataset.image_size": 64},
}


@pytest.mark.parametrize("experiment", SIZES)
def test_an_experiment_takes_the_sizes_of_its_paper(experiment: str) -> None:
    cfg = compose(f"+experiment={experiment}", "+scale=paper").cfg
    assert {key: OmegaConf.select(cfg, key) for key in SIZES[experiment]} == SIZES[experiment]


@pytest.mark.parametrize("experiment", ["recursive_vae", "mad"])
def test_a_paper_on_digits_takes_mnist_and_says_what_is_missing(experiment: str) -> None:
    composed = compose(f"+experiment={experiment}", "+scale=paper", "dataset.root=/nowhere", "sinks=[]")
    assert composed.cfg.dataset["_target_"].endswith("MNIST")
    with pytest.raises(UserError, match=r"/nowhere"):
        prepare(composed)


@pytest.mark.parametrize(
    ("experiment", "reason"),
    [
        ("accumulate_vs_replace", "the sizes of the linear regressions of arXiv:2404.01413 are not known"),
        ("interacting_images", "an extension of ours of arXiv:2505.21677"),
        ("recursive_rkhs", "arXiv:2305.17493 proves the collapse .* and has no experiment"),
    ],
)
def test_an_experiment_that_no_paper_gives_a_size_for_is_refused_with_the_reason(experiment: str, reason: str) -> None:
    message = rf"^there is no \+scale=paper of \+experiment={experiment}, because .*{reason}.*; leave the scale out"
    with pytest.raises(UserError, match=message):
        compose(f"+experiment={experiment}", "+scale=paper")


def test_every_experiment_has_the_sizes_of_its_paper_or_a_refusal_with_a_reason() -> None:
    presets = {path.stem for path in (CONF / "experiment").glob("*.yaml")}
    sized = {path.stem for path in (CONF / "scale" / "paper").glob("*.yaml")}
    assert sized | LARGER.keys() | UNSIZED.keys() == presets
    assert not sized & UNSIZED.keys()


def test_the_mixture_on_flowers_trains_on_every_original_and_as_many_images_as_its_share_asks_for() -> None:
    cfg = compose("+experiment=feedback_mixture", "+scale=paper", "dataset.root=/nowhere", "mixing.lam=1").cfg
    flowers = 8189  # pictures of the data set
    assert cfg.n_train == flowers - round(flowers * cfg.dataset.reference_fraction)
    assert cfg.n_samples >= cfg.mixing.lam * cfg.n_train
    assert [*cfg.features] == ["inception", "pixels"]
    assert (cfg.generations, cfg.dataset.image_size, cfg.model["_target_"].rpartition(".")[2]) == (3, 64, "DDIM")


@pytest.mark.parametrize("birds", [[], ["dataset=cub200", "dataset.image_size=64"]], ids=["flowers", "birds"])
def test_the_colour_study_keeps_the_weights_with_the_best_validation_kid_of_its_epochs(birds: list[str]) -> None:
    cfg = compose("+experiment=feedback_colour", "+scale=paper", "dataset.root=/nowhere", *birds).cfg
    selection = cfg.model.selection
    assert selection.every * cfg.trainer.batch_size == cfg.n_train  # an epoch of the later versions
    assert (selection.features, selection.images, selection.steps) == ("inception", None, 5)
    assert "inception" in cfg.features
    assert cfg.dataset.validation_fraction == 0.1
