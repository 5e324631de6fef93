from __future__ import annotations

from collections.abc import Iterator

import pytest
from collapse_lab.cli.app import CONF
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from collapse_lab.config.schema import canonical, check_shortcuts, read_root, signature
from collapse_lab.errors import UserError


@pytest.fixture(scope="module", autouse=True)
def conf() -> Iterator[None]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def composed(*overrides: str) -> DictConfig:
    return compose("config", overrides=["+experiment=nepotistic", *overrides])


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
    ],
)
def test_what_cannot_change_a_result_is_no_part_of_the_signature(override: str) -> None:
    assert signature(composed(override)) == signature(composed())


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
def test_everything_else_is(override: str) -> None:
    assert signature(composed(override)) != signature(composed())


def test_a_ratio_written_otherwise_is_the_same_run() -> None:
    assert signature(composed("ratio=1")) == signature(composed("ratio=1.0"))


def test_the_canonical_configuration_names_no_place_of_this_machine() -> None:
    text = OmegaConf.to_yaml(OmegaConf.create(canonical(composed("paths.runs=/here", "paths.data=/there"))))
    assert "/here" not in text
    assert "/there" not in text
    assert read_root(composed("ratio=0.2")).ratio == 0.2


@pytest.mark.parametrize("override", ["ratio=0.5", "++ratio=0.5"])
def test_a_shortcut_that_nothing_reads_is_refused(override: str) -> None:
    with pytest.raises(UserError, match=r"ratio was given, and nothing .* \(mixing is Replace\)"):
        check_shortcuts(composed("mixing=replace", override), ["mixing=replace", override])
    with pytest.raises(UserError, match="mixing is Contaminate"):
        check_shortcuts(composed("mixing.ratio=0.1", override), ["mixing.ratio=0.1", override])


def test_a_shortcut_that_something_reads_is_welcome() -> None:
    for mixing in ("contaminate", "fresh", "heal"):
        check_shortcuts(composed(f"mixing={mixing}", "ratio=0.5"), ["ratio=0.5"])
    engine = ["seed=1", "generations=2", "n_train=5", "n_samples=5", "device=cpu"]
    check_shortcuts(composed("mixing=replace", *engine), ["mixing=replace", *engine])
