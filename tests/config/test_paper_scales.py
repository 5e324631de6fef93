"""`+scale=paper` of the toy experiments: the sizes that the papers and their released codes have."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf

from collapse_lab.config.composing import compose
from collapse_lab.errors import UserError
from collapse_lab.experiment import prepare

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


@pytest.mark.parametrize("experiment", ["recursive_rkhs", "accumulate_vs_replace"])
def test_an_experiment_whose_paper_has_no_known_sizes_is_refused_with_those_that_have(experiment: str) -> None:
    with pytest.raises(UserError, match=rf"NAME one of .*mad, .*recursive_vae.*; got \+experiment={experiment}$"):
        compose(f"+experiment={experiment}", "+scale=paper")
