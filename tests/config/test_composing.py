"""What `compose` gives for the overrides of a command line, and what it refuses in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

import collapse_lab
from collapse_lab.config.composing import Composed, compose
from collapse_lab.config.searchpath import CONF
from collapse_lab.errors import UserError
from collapse_lab.experiment import prepare


def test_a_composed_configuration_holds_the_overrides_and_no_node_of_hydra() -> None:
    composed = compose("+experiment=nepotistic", "ratio=0.5", "features=[pixels]")
    assert isinstance(composed, Composed)
    assert composed.overrides == ("+experiment=nepotistic", "ratio=0.5", "features=[pixels]")
    assert "hydra" not in composed.cfg
    assert composed.root.ratio == composed.cfg.mixing.ratio == 0.5
    assert list(composed.cfg.features) == ["pixels"]


def test_what_is_given_last_wins_over_an_experiment_and_a_scale() -> None:
    composed = compose("+experiment=nepotistic", "+scale=tiny", "generations=4")
    assert (composed.root.n_train, composed.root.generations) == (200, 4)
    assert composed.cfg.mixing.initial == "all"


def test_the_package_offers_compose_and_prepare() -> None:
    assert collapse_lab.compose is compose
    assert collapse_lab.prepare is prepare
    assert all(hasattr(collapse_lab, name) for name in collapse_lab.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'compos'"):
        collapse_lab.compos  # noqa: B018


def test_two_compositions_share_nothing() -> None:
    first, second = compose("+experiment=nepotistic"), compose("+experiment=nepotistic")
    first.cfg.model.channels.append(1)
    assert second.cfg.model.channels == [32, 64]


def test_a_folder_of_own_files_is_read_where_it_is_named_and_not_in_the_next_call(tmp_path: Path) -> None:
    (tmp_path / "mine/dataset").mkdir(parents=True)
    (tmp_path / "mine/dataset/own_digits.yaml").write_text((CONF / "dataset/digits.yaml").read_text())
    line, place = ("+experiment=nepotistic", "dataset=own_digits"), tmp_path / "mine"
    own = compose(*line, config_dir=place)
    assert own.overrides == line
    assert own.cfg.dataset._target_ == compose("+experiment=nepotistic").cfg.dataset._target_
    with pytest.raises(UserError, match="did you mean 'own_digits'"):
        compose("+experiment=nepotistic", "dataset=own_digit", config_dir=place)
    with pytest.raises(UserError, match="unknown value 'own_digits' of dataset"):
        compose(*line)
    with pytest.raises(UserError, match=r"--config-dir=\S+/nowhere is no folder"):
        compose(*line, config_dir=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["raito=0.1"], r"^unknown key 'raito'; did you mean 'ratio'\?$"),
        (["+raito=0.1"], r"^unknown key 'raito'; did you mean 'ratio'\?$"),
        (["+experimnt=nepotistic"], r"^unknown key 'experimnt'; did you mean 'experiment'\?$"),
        (["+experiment=nepotisic"], r"^unknown value 'nepotisic' of experiment; did you mean 'nepotistic'\?$"),
        (["model=text2imge"], r"^unknown value 'text2imge' of model; did you mean 'text2image'\?$"),
        (
            ["model=pca"],
            r"of model; known: .*; own files are found with --config-dir FOLDER \(FOLDER/model",
        ),
        (["model.gidance_scale=2"], r"^unknown key 'model\.gidance_scale'; did you mean 'model\.guidance_scale'\?$"),
        (["model=ddim", "model.guidance_scale=2"], r"^'model\.guidance_scale' does not exist in what was chosen here"),
        (["dataset=imagefolder"], r"^dataset\.root has to be given: add dataset\.root=… to the command$"),
        (["ratio=abc"], "^ratio takes float; got 'abc'$"),
        (
            ["model.channels={a:1}"],
            r"^model\.channels=\{a:1\} gives a mapping, and the key takes a list; give KEY=\[VALUE,…\]$",
        ),
        (
            ["prompts.sets=[seen]"],
            r"^prompts\.sets=\[seen\] gives a list, and the key takes a mapping of names; give KEY",
        ),
        (["features=[pixels"], r"^'features=\[pixels' cannot be read as KEY=VALUE; close its brackets"),
        (["ratio"], "^'ratio' is neither a command nor KEY=VALUE; --help lists"),
        (["mixing=replace", "ratio=0.5"], "^ratio was given, and nothing in this configuration reads it"),
        (["++metrics.fidd.bootstrap=2"], r"^metrics has no 'fidd' in this run; did you mean 'fid'\?$"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_wrong_override_is_refused_in_one_line(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as refusal:
        compose(*overrides)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_refusal_leaves_hydra_ready_for_the_next_composition() -> None:
    for _ in range(2):
        with pytest.raises(UserError):
            compose("raito=0.1")
    assert compose("ratio=0.2").root.ratio == 0.2


def test_stubs_of_a_scale_that_fit_nothing_are_dropped() -> None:
    composed = compose("+experiment=recursive_gaussian", "+scale=tiny")
    assert OmegaConf.to_container(composed.cfg.features) == {}
    assert OmegaConf.to_container(composed.cfg.metrics) == {}
    assert "sampler" not in composed.cfg.model
    kept = compose("+experiment=nepotistic", "+scale=tiny", "features=[classifier]", "metrics=[fid]")
    assert kept.cfg.features.classifier.steps == 100
    assert list(kept.cfg.metrics) == ["fid"]
    assert kept.cfg.model.sampler.steps == 4


def test_resolvers_are_registered_wherever_a_configuration_is_composed() -> None:
    healing = compose("+experiment=nepotistic_healing", "generations=8")
    assert healing.cfg.mixing.phases[0].until == 4
    sizes = compose("+experiment=recursive_gaussian", "n_train={by_generation:[7,8,9]}", "generations=2")
    assert sizes.cfg.dataset.rows == 7
