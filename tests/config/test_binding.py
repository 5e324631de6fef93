"""A node is checked against the constructor that it names, and its identity leaves out what equals a default."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import pytest
from annotated_types import Gt, Lt

from collapse_lab.config.binding import bind
from collapse_lab.engine.keys import digest
from collapse_lab.errors import UserError
from collapse_lab.types import Count, Extended, Natural, NonNegative, Positive, ProperShare, Share

if TYPE_CHECKING:
    from collapse_lab.types import Spec as OfTheTypeChecker

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
    options: Mapping[str, Any] = field(default_factory=lambda: {"b": 1, "c": [2]})


@dataclass(frozen=True)
class Inner:
    depth: int = 2


class Outer:
    def __init__(self, inner: Inner = Inner(), shape: tuple[int, ...] = (1, 2)) -> None: ...


class Chosen:
    def __init__(
        self,
        kind: Literal["mean", "median"] = "mean",
        share: Share = 0.5,
        proper: ProperShare = 0.5,
        count: Count = 1,
        natural: Natural | None = None,
        positive: Positive = 1.0,
        least: NonNegative = 0.0,
        order: Extended = 1.0,
        between: Annotated[float, Gt(0), Lt(1)] = 0.5,
        widths: Sequence[Count] = (1,),
        pair: tuple[float, float] = (0.0, 1.0),
        options: Mapping[str, Any] | None = None,
    ) -> None: ...


class Unreadable:
    def __init__(self, thing: OfTheTypeChecker, size: int = 1) -> None: ...


def anything(first: int, **rest: Any) -> None: ...


def node(target: str, **arguments: Any) -> dict[str, Any]:
    return {"_target_": f"{ME}.{target}", **arguments}


def test_an_identity_is_class_version_and_the_arguments_that_differ_from_their_defaults() -> None:
    assert bind(node("Plain", size=2), "x") == {"class": f"{ME}.Plain", "version": 3, "arguments": {"size": 2}}
    assert bind(node("Plain", size=2, deep=True, rate=0.5), "x")["arguments"] == {"deep": True, "size": 2}
    assert bind(node("Settings"), "x") == {"class": f"{ME}.Settings", "version": 0, "arguments": {}}
    assert bind(node("Settings", words=["b"]), "x")["arguments"] == {"words": ["b"]}


def test_a_default_written_out_is_the_same_identity() -> None:
    everything = node("Plain", deep=False, rate=0.5, size=2, name=None)
    assert bind(node("Plain", size=2), "x") == bind(everything, "x")
    assert bind(node("Plain", size=2), "x") != bind(node("Plain", size=2, rate=0.25), "x")
    assert bind(node("Settings"), "x") == bind(node("Settings", words=["a"], width=4), "x")
    made = node("Settings", options={"c": [2], "b": 1})  # a factory's default, in another order
    assert bind(node("Settings"), "x") == bind(made, "x")
    assert bind(node("Settings", options={}), "x")["arguments"] == {"options": {}}
    nested = node("Outer", inner=node("Inner", depth=2), shape=[1, 2])
    assert bind(nested, "x") == bind(node("Outer"), "x")
    assert bind(node("Outer", inner=node("Inner", depth=3)), "x") != bind(node("Outer"), "x")


@pytest.mark.parametrize(("one", "other"), [({"rate": 1}, {"rate": 1.0}), ({"name": "1"}, {"name": None})])
def test_only_equal_values_have_an_equal_identity(one: dict[str, Any], other: dict[str, Any]) -> None:
    same = bind(node("Plain", size=1, **one), "x") == bind(node("Plain", size=1, **other), "x")
    assert same is (one == other)


def test_the_same_number_written_otherwise_is_the_same_identity() -> None:
    # Or else `ratio=1` and `ratio=1.0` would be two chains
    one, other = (digest(bind(node("Plain", size=1, rate=rate), "x"), 32) for rate in (1, 1.0))
    assert one == other
    whole = bind(node("Plain", size=1, rate=1), "x")["arguments"]["rate"]
    assert (whole, type(whole)) == (1, int)


def test_nested_nodes_are_bound_too() -> None:
    plain = node("Plain", size=1)
    identity = bind(node("Nested", part=plain, parts=[plain], options={"a": plain, "b": [1]}), "x")
    inner = bind(plain, "x")
    assert identity["arguments"] == {"part": inner, "parts": [inner], "options": {"a": inner, "b": [1]}}
    with pytest.raises(UserError, match=r"x\.parts\.1\.siez: Plain has no such argument; did you mean 'size'"):
        bind(node("Nested", part=plain, parts=[plain, node("Plain", siez=1)]), "x")


def test_what_a_constructor_takes_by_name_alone_is_part_of_the_identity() -> None:
    assert bind(node("anything", first=1, other=2), "x") != bind(node("anything", first=1, other=3), "x")


@pytest.mark.parametrize(
    ("given", "message"),
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
        (
            {"_target_": "no.such.module.Thing"},
            r"cannot be imported: No module named 'no'; put the folder that .* PYTHONPATH",
        ),
        ({"_target_": "collapse_lab.no.Thing"}, r"cannot be imported: No module named 'collapse_lab\.no'$"),
        ({"_target_": "bare"}, r"^model\._target_ is the dotted name of a class, .*; got 'bare'$"),
        ({"_target_": "..."}, r"^model\._target_ is the dotted name of a class, .*; got '\.\.\.'$"),
        ({"_target_": "collapse_lab.models.vae"}, r"^model\._target_ .* is a module; give the name of a class$"),
    ],
)
def test_a_wrong_node_is_refused_by_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        bind(given, "model")


def test_an_argument_that_the_program_supplies_is_neither_missing_nor_admitted() -> None:
    size = frozenset({"size"})
    assert bind(node("Plain", rate=1), "x", size)["arguments"] == {"rate": 1}
    with pytest.raises(UserError, match=r"^x\.size: Plain has no such argument"):
        bind(node("Plain", size=1), "x", size)


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("kind", "medium", r"^m\.kind is one of mean, median; got 'medium': did you mean 'median'\?$"),
        ("kind", 3, r"^m\.kind takes mean, median; got 3$"),
        ("share", 1.5, r"^m\.share is in \[0, 1\]; got 1\.5$"),
        ("share", -0.1, r"^m\.share is in \[0, 1\]; got -0\.1$"),
        ("proper", 1, r"^m\.proper is in \[0, 1\); got 1$"),
        ("between", 0.0, r"^m\.between is in \(0, 1\); got 0\.0$"),
        ("count", 0, r"^m\.count is 1 or more; got 0$"),
        ("natural", -1, r"^m\.natural is 0 or more; got -1$"),
        ("natural", 1.5, r"^m\.natural takes int or null; got 1\.5$"),
        ("positive", 0, r"^m\.positive is above 0; got 0$"),
        ("least", -1.0, r"^m\.least is 0 or more; got -1\.0$"),
        ("least", True, r"^m\.least takes float; got True$"),
        ("widths", 3, r"^m\.widths takes a list of int, each 1 or more; got 3$"),
        ("widths", [1, 0], r"^m\.widths takes a list of int, each 1 or more; got \[1, 0\]$"),
        ("pair", [1.0], r"^m\.pair takes a list of float; got \[1\.0\]$"),
        ("options", [1], r"^m\.options takes a mapping or null; got \[1\]$"),
    ],
)
def test_an_unknown_choice_or_a_value_out_of_range_is_refused(argument: str, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        bind(node("Chosen", **{argument: value}), "m")


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("kind", "median"),
        ("share", 0),
        ("share", 1),
        ("proper", 0.999),
        ("natural", None),
        ("natural", 0),
        ("least", 0),
        ("order", math.inf),
        ("widths", [1, 2]),
        ("pair", [0, 2.5]),
        ("options", {"a": [1, None]}),
    ],
)
def test_a_value_that_the_annotation_admits_is_taken(argument: str, value: Any) -> None:
    assert bind(node("Chosen", **{argument: value}), "m")["class"] == f"{ME}.Chosen"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("argument", ["share", "least", "positive"])
def test_a_number_that_is_not_finite_is_refused(argument: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"^m\.{argument} takes a finite number; got {value!r}$"):
        bind(node("Chosen", **{argument: value}), "m")


def test_a_number_that_is_not_finite_is_refused_inside_a_list_or_a_mapping() -> None:
    with pytest.raises(UserError, match="takes a finite number"):
        bind(node("Chosen", pair=[0.0, math.inf]), "m")
    with pytest.raises(UserError, match="takes a finite number"):
        bind(node("Chosen", options={"a": [math.nan]}), "m")


def test_an_extended_number_may_be_infinite_and_is_never_nan() -> None:
    assert bind(node("Chosen", order=math.inf), "m")["arguments"] == {"order": "inf"}
    for value in (math.nan, -math.inf):
        with pytest.raises(UserError, match="takes a finite number"):
            bind(node("Chosen", order=value), "m")


def test_an_annotation_that_exists_for_the_type_checker_alone_admits_everything() -> None:
    assert bind(node("Unreadable", thing="a", size="b"), "m")["arguments"] == {"thing": "a", "size": "b"}
