from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from collapse_lab.config.schema import Root, bind
from collapse_lab.errors import UserError
from collapse_lab.storage.store import stage_key

ME = __name__


class Plain:
    version: ClassVar[int] = 3

    def __init__(self, size: int, rate: float = 0.5, name: str | None = None, deep: bool = False) -> None: ...


class Nested:
    def __init__(self, part: Plain, parts: Sequence[Plain] = (), options: dict[str, Any] | None = None) -> None: ...


@dataclass
class Settings:
    width: int = 4
    words: Sequence[str] = ("a",)


def anything(first: int, **rest: Any) -> None: ...


def node(target: str, **arguments: Any) -> dict[str, Any]:
    return {"_target_": f"{ME}.{target}", **arguments}


def test_an_identity_is_class_version_and_every_argument_with_its_default() -> None:
    assert bind(node("Plain", size=2), "x") == {
        "class": f"{ME}.Plain",
        "version": 3,
        "arguments": {"size": 2, "rate": 0.5, "name": None, "deep": False},
    }
    assert bind(node("Settings"), "x") == {
        "class": f"{ME}.Settings",
        "version": 0,
        "arguments": {"width": 4, "words": ["a"]},
    }


def test_a_default_written_out_is_the_same_identity() -> None:
    assert bind(node("Plain", size=2), "x") == bind(node("Plain", deep=False, rate=0.5, size=2), "x")
    assert bind(node("Plain", size=2), "x") != bind(node("Plain", size=2, rate=0.25), "x")


def test_the_same_number_written_otherwise_is_the_same_identity() -> None:
    # Or else `ratio=1` and `ratio=1.0` would be two chains
    one, other = (stage_key("fit", bind(node("Plain", size=1, rate=rate), "x")) for rate in (1, 1.0))
    assert one == other


def test_nested_nodes_are_bound_too() -> None:
    plain = node("Plain", size=1)
    found = bind(node("Nested", part=plain, parts=[plain], options={"a": plain, "b": [1]}), "x")
    inner = bind(plain, "x")
    assert found["arguments"] == {"part": inner, "parts": [inner], "options": {"a": inner, "b": [1]}}
    with pytest.raises(UserError, match=r"x\.parts\.1\.siez: Plain has no such argument; did you mean 'size'"):
        bind(node("Nested", part=plain, parts=[plain, node("Plain", siez=1)]), "x")


def test_what_a_constructor_takes_by_name_alone_is_part_of_the_identity() -> None:
    assert bind(node("anything", first=1, other=2), "x") != bind(node("anything", first=1, other=3), "x")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (node("Plain", size=2, rats=0.1), r"^model\.rats: Plain has no such argument; did you mean 'rate'\?"),
        (node("Plain", rate=0.1), r"^model: Plain needs size$"),
        (node("Plain", size="2"), r"^model\.size takes int; got '2'"),
        (node("Plain", size=2.0), r"^model\.size takes int; got 2\.0"),
        (node("Plain", size=True), r"^model\.size takes int; got True"),
        (node("Plain", size=None), r"^model\.size takes int; got None"),
        (node("Plain", size=[2]), r"^model\.size takes int"),
        (node("Plain", size=1, rate=True), r"^model\.rate takes float; got True"),
        (node("Plain", size=1, name=3), r"^model\.name takes str or null; got 3"),
        (node("Plain", size=1, deep=1), r"^model\.deep takes bool; got 1"),
        (node("Plian"), r"^model\._target_ .*Plian' cannot be imported"),
        ({"_target_": "no.such.module.Thing"}, r"^model\._target_ .* cannot be imported"),
        ({"_target_": "bare"}, r"^model\._target_ .* cannot be imported"),
    ],
)
def test_a_wrong_node_is_refused_by_name(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        bind(given, "model")


def test_a_partial_node_may_leave_the_rest_to_the_caller() -> None:
    assert bind({**node("Plain"), "_partial_": True}, "x")["arguments"].keys() == {"rate", "name", "deep"}
    assert bind(node("Plain", size=1, rate=1), "x")["arguments"]["rate"] == 1


def root(**changes: Any) -> Root:
    plain: dict[str, Any] = {
        "name": "x",
        "seed": 0,
        "generations": 5,
        "ratio": 0.1,
        "n_train": 9,
        "n_samples": 9,
        "device": "cpu",
        "dry_run": False,
    }
    return Root(**(plain | changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ratio": 1.1}, "between 0 and 1; got 1.1"),
        ({"ratio": 10}, r"did you mean 0\.1\?"),
        ({"ratio": -0.1}, "between 0 and 1"),
        ({"ratio": float("nan")}, "between 0 and 1"),
        ({"ratio": "half"}, "ratio takes float; got 'half'"),
        ({"seed": -1}, "seed is 0 or more"),
        ({"seed": 1.5}, "seed takes int"),
        ({"generations": -1}, "generations is 0 or more"),
        ({"n_train": 0}, "n_train is 1 or more"),
        ({"n_samples": 1}, "n_samples is 2 or more"),
        ({"device": "gpu"}, "device is auto, cpu or cuda; got 'gpu'"),
        ({"device": "cdua"}, "did you mean 'cuda'"),
        ({"dry_run": "yes"}, "dry_run takes bool"),
        ({"name": 7}, "name takes str"),
    ],
)
def test_a_root_value_out_of_range_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        root(**changes)


def test_the_ends_of_the_ranges_are_in_them() -> None:
    assert root(ratio=0, seed=0, generations=0, n_train=1, n_samples=2).ratio == 0
    assert root(ratio=1).ratio == 1
