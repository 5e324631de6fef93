"""What changes a signature, and what does not."""

from __future__ import annotations

from copy import deepcopy
from functools import cache

import pytest
from omegaconf import DictConfig, OmegaConf

from collapse_lab.config.composing import compose
from collapse_lab.config.signature import canonical, run_identity, signature
from collapse_lab.errors import UserError


@cache
def composed(*overrides: str) -> DictConfig:
    return compose("+experiment=nepotistic", *overrides).cfg


@pytest.mark.parametrize(
    "override",
    [
        "paths.runs=/elsewhere",
        "paths.store=/elsewhere",
        "paths.data=/elsewhere",
        "sinks=[]",
        "store=metrics",
        "store.every=7",
        "device=cpu",
        "dry_run=true",
        "trainer.pack=2",
        "trainer.checkpoint_minutes=1",
        "trainer.checkpoint_minutes=null",
        "model.sampling_batch=7",
    ],
)
def test_what_cannot_change_a_result_is_no_part_of_the_signature(override: str) -> None:
    assert signature(composed(override)) == signature(composed())


def test_the_batch_of_a_sampler_that_draws_noise_between_its_steps_is_part_of_the_signature() -> None:
    noisy = "+model.sampler.options.eta=1"
    whole = signature(composed(noisy))
    assert signature(composed(noisy, "model.sampling_batch=256")) == whole  # what `auto` is for this family
    assert signature(composed(noisy, "model.sampling_batch=7")) != whole
    sampled = run_identity(canonical(composed(noisy, "model.sampling_batch=7")))["model"]
    assert sampled["arguments"]["sampling_batch"] == 7


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "generations=6",
        "ratio=0.2",
        "n_train=500",
        "n_samples=500",
        "name=other",
        "mixing=replace",
        "mixing.initial=700",
        "model.optimisation.lr=0.002",
        "model.sampler.steps=21",
        "trainer.steps=1501",
        "prompts.sets.seen.labels=[0,1]",
        "population.lineage=scratch",
        "curation=histogram",
        "metrics.fid.bootstrap=201",
        "features=[pixels]",
        "dataset.limit=900",
    ],
)
def test_what_can_change_a_result_is_part_of_the_signature(override: str) -> None:
    assert signature(composed(override)) != signature(composed())


def test_a_ratio_written_otherwise_is_the_same_run() -> None:
    assert signature(composed("ratio=1")) == signature(composed("ratio=1.0"))


def test_the_canonical_configuration_names_no_place_of_this_machine() -> None:
    text = OmegaConf.to_yaml(OmegaConf.create(canonical(composed("paths.runs=/here", "paths.data=/there"))))
    assert "/here" not in text
    assert "/there" not in text
    assert "<runs>" in text


def test_a_value_that_equals_its_default_is_no_part_of_the_identity() -> None:
    identity = run_identity(canonical(composed("generations=5", "metrics.fid.bootstrap=200", "features=[pixels]")))
    assert identity["root"]["arguments"] == {"name": "nepotistic"}
    assert identity["metrics"]["fid"]["arguments"] == {}
    assert identity["features"]["pixels"]["arguments"] == {}
    changed = run_identity(canonical(composed("seed=1", "metrics.fid.bootstrap=201")))
    assert changed["root"]["arguments"] == {"name": "nepotistic", "seed": 1}
    assert changed["metrics"]["fid"]["arguments"] == {"bootstrap": 201}


def test_a_configuration_without_a_key_that_has_a_default_is_the_same_run() -> None:
    # A run's config.yaml was written before the key was added
    plain = canonical(composed())
    older = deepcopy(plain)
    del older["seed"], older["ratio"], older["metrics"]["fid"]["bootstrap"], older["trainer"]["gradient_clip"]
    assert run_identity(older) == run_identity(plain)


def test_a_schedule_of_the_model_is_one_identity_for_each_entry() -> None:
    plain = canonical(composed("model.guidance_scale={by_generation:[1,2]}"))
    models = run_identity(plain)["model"]
    assert [model["arguments"].get("guidance_scale", "default") for model in models] == [1, "default"]
    with pytest.raises(
        UserError, match=r"model\.layers_per_block\.by_generation is a list of values, one per generation"
    ):
        signature(composed("model.layers_per_block={by_generation:[1,2]}"))
