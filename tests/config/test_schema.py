"""The root of a configuration: types, ranges, and shortcuts that nothing reads."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from omegaconf import OmegaConf

from collapse_lab.config.composing import compose
from collapse_lab.config.schema import Root, check_shortcuts, read_root
from collapse_lab.config.searchpath import CONF
from collapse_lab.errors import UserError


def root(**changes: Any) -> Root:
    plain: dict[str, Any] = {"name": "x", "n_train": 9, "n_samples": 9, "device": "cpu"}
    return Root(**(plain | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ratio": 1.1}, r"^ratio is the synthetic share of a training set, between 0 and 1; got 1\.1"),
        ({"ratio": 10}, r"did you mean 0\.1\?"),
        ({"ratio": -0.1}, "between 0 and 1"),
        ({"ratio": float("nan")}, "^ratio takes a finite number; got nan$"),
        ({"ratio": float("inf")}, "^ratio takes a finite number; got inf$"),
        ({"ratio": "half"}, "^ratio takes float; got 'half'$"),
        ({"seed": -1}, "^seed is 0 or more; got -1$"),
        ({"seed": 1.5}, r"^seed takes int; got 1\.5$"),
        ({"seed": True}, "^seed takes int; got True$"),
        ({"generations": -1}, "^generations is 0 or more; got -1$"),
        ({"n_train": 0}, "n_train is 1 or more"),
        ({"n_samples": 1}, "n_samples is 2 or more"),
        ({"device": "gpu"}, "^device is one of auto, cpu, cuda; got 'gpu'"),
        ({"device": "cdua"}, "did you mean 'cuda'"),
        ({"dry_run": "yes"}, "^dry_run takes bool; got 'yes'$"),
        ({"name": 7}, "^name takes str; got 7$"),
    ],
)
def test_a_root_value_of_another_type_or_out_of_range_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        root(**changes)


def test_the_ends_of_the_ranges_are_in_them() -> None:
    assert root(ratio=0, seed=0, generations=0, n_train=1, n_samples=2).ratio == 0
    assert root(ratio=1).ratio == 1


def test_the_defaults_of_the_root_are_those_of_the_yaml() -> None:
    # Because a signature leaves out what equals the class's defaults, while the command line starts from the file's
    plain = OmegaConf.to_container(OmegaConf.load(CONF / "config.yaml"))
    assert isinstance(plain, dict)
    assert {field.name: field.default for field in fields(Root)} == {
        field.name: plain[field.name] for field in fields(Root)
    }


def test_the_root_of_a_composed_configuration_holds_what_was_given() -> None:
    composed = compose("+experiment=nepotistic", "seed=3", "ratio=0.25")
    assert read_root(composed.cfg) == composed.root
    assert (composed.root.name, composed.root.seed, composed.root.ratio) == ("nepotistic", 3, 0.25)


@pytest.mark.parametrize("override", ["ratio=0.5", "++ratio=0.5"])
def test_a_shortcut_that_nothing_reads_is_refused(override: str) -> None:
    with pytest.raises(UserError, match=r"ratio was given, and nothing .* \(mixing is Replace\)"):
        compose("+experiment=nepotistic", "mixing=replace", override)
    with pytest.raises(UserError, match="mixing is Contaminate"):
        compose("+experiment=nepotistic", "mixing.ratio=0.1", override)


def test_a_shortcut_that_something_reads_is_taken() -> None:
    for mixing in ("contaminate", "fresh", "heal"):
        assert compose("+experiment=nepotistic", f"mixing={mixing}", "ratio=0.5").root.ratio == 0.5
    engine = ["seed=1", "generations=2", "n_train=5", "n_samples=5", "device=cpu"]
    composed = compose("+experiment=nepotistic", "mixing=replace", *engine)
    check_shortcuts(composed.cfg, engine)
    assert composed.root.n_train == 5


def test_a_shortcut_that_nothing_reads_is_no_setting_of_the_run() -> None:
    assert "ratio" not in compose("+experiment=nepotistic", "mixing=replace").cfg
    assert "ratio" not in compose("+experiment=nepotistic", "mixing.ratio=0.1").cfg
    assert compose("+experiment=nepotistic", "mixing=contaminate").cfg.ratio == 0.1


def test_an_argument_that_the_command_line_did_not_give_is_refused_with_where_it_comes_from() -> None:
    line = ["+experiment=nepotistic", "mixing._target_=collapse_lab.mixing.replace.Replace"]
    with pytest.raises(UserError, match=r"mixing.stratify: Replace has no .*such as the experiment's: add ~mixing.str"):
        compose(*line, "~mixing.ratio")
    with pytest.raises(UserError, match=r"mixing.stratify: Replace has no such argument; known: initial$"):
        compose(*line, "~mixing.ratio", "mixing.stratify=true")
    compose(*line, "~mixing.ratio", "~mixing.stratify")
