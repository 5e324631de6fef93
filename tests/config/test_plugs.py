"""Which members an object lacks: all are named at once, and nothing of the object is evaluated."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import pytest

from collapse_lab import types
from collapse_lab.config.plugs import check_protocol, members
from collapse_lab.errors import UserError

PLUGGABLE = (
    types.Curation,
    types.Dataset,
    types.Extractor,
    types.FittedExtractor,
    types.GenerativeModel,
    types.Metric,
    types.MixingPolicy,
    types.Probe,
    types.PromptSet,
    types.Sink,
)


class Base(Protocol):
    version: ClassVar[int]

    def run(self) -> int: ...


class Tool(Base, Protocol):
    size: int

    @property
    def key(self) -> str: ...

    def __call__(self, x: int) -> int: ...


class Whole:
    version: ClassVar[int] = 1
    key = "k"

    def __init__(self) -> None:
        self.size = 1

    def run(self) -> int:
        return 1

    def __call__(self, x: int) -> int:
        return x


class Evaluated(Whole):
    @property
    def key(self) -> str:  # type: ignore[override]
        raise AssertionError("a property is looked up and not evaluated")


class Declared(Whole):
    size: int


class WithoutMethods:
    version = 1
    key = "k"
    size = 1
    run = 3  # a number and no method


class Empty: ...


def refused(plug: Any) -> str:
    with pytest.raises(UserError) as refusal:
        check_protocol(plug, Tool, "tools.mine")
    return str(refusal.value)


def test_the_members_of_a_protocol_are_those_of_all_its_bases() -> None:
    methods, attributes = members(Tool)
    assert methods == ["run", "__call__"]
    assert attributes == ["version", "key", "size"]


@pytest.mark.parametrize("plug", [Whole(), Evaluated(), Declared()])
def test_an_object_with_every_member_is_admitted(plug: object) -> None:
    check_protocol(plug, Tool, "tools.mine")


def test_every_missing_member_is_named_in_one_line() -> None:
    assert refused(Empty()) == (
        "tools.mine: Empty does not satisfy the protocol Tool of collapse_lab.types: it has no run, __call__, version, "
        "key, size; add what is missing to the class"
    )


def test_a_method_that_cannot_be_called_is_missing() -> None:
    assert "it has no run, __call__; add" in refused(WithoutMethods())


def test_of_a_class_an_attribute_may_be_declared_and_a_method_may_not() -> None:
    check_protocol(Declared, Tool, "tools.mine")
    assert "it has no size; add" in refused(Whole)  # because nobody knows what its constructor will set
    assert "it has no run, __call__; add" in refused(WithoutMethods)


def test_an_attribute_that_is_declared_and_never_set_is_missing_from_an_object() -> None:
    class Forgetful(Declared):
        def __init__(self) -> None: ...

    assert "it has no size; add" in refused(Forgetful())


@pytest.mark.parametrize("protocol", PLUGGABLE, ids=lambda protocol: protocol.__name__)
def test_of_every_protocol_an_empty_plug_in_lacks_all_members(protocol: type) -> None:
    methods, attributes = members(protocol)
    assert methods
    with pytest.raises(UserError) as refusal:
        check_protocol(Empty(), protocol, "here")
    message = str(refusal.value)
    assert f"the protocol {protocol.__name__} of" in message
    assert f"it has no {', '.join([*methods, *attributes])};" in message
