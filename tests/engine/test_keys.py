from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, make_dataclass
from dataclasses import field as dataclass_field
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from collapse_lab.engine import keys
from collapse_lab.engine.keys import (
    CuratedKey,
    EncodingKey,
    ExtractorKey,
    FeaturesKey,
    FeaturesPartKey,
    FitKey,
    FloorKey,
    KnownKey,
    PromptsKey,
    RealFeaturesKey,
    RealKey,
    SampleKey,
    StageKey,
    digest,
    digest_of_array,
    digest_of_conditions,
    digest_of_rows,
    whole_numbers,
)
from collapse_lab.engine.view import View
from collapse_lab.types import Captions, Conditions

PARENTS = ("ab" * 16, "cd" * 16)
SEEDS: tuple[int | str, ...] = (0, 3, "model", "fit")


def identity(**arguments: Any) -> dict[str, Any]:
    return {"class": "tests.Family", "version": 1, "arguments": arguments}


# Each kind of key with facts of its own, and for every field another value
KINDS: list[tuple[type[StageKey], dict[str, Any], dict[str, Any]]] = [
    (RealKey, {"dataset": "digits", "base": (0, 1, 2)}, {"dataset": "mnist", "base": (0, 2, 1)}),
    (
        FitKey,
        {"model": identity(lr=0.1), "steps": 10, "batch_size": 8, "rows": "ab", "seeds": SEEDS},
        {
            "model": identity(lr=0.2),
            "steps": 11,
            "batch_size": 9,
            "rows": "ac",
            "seeds": (0, 3, "model", "sample"),
            "precision": "bf16-mixed",
            "gradient_clip": None,
            "vocabulary": ("a", "b"),
            "validation": "ef",
            "arithmetic": "fast",
            "row_weights": "gh",
            "accumulate": 2,
            "devices": 2,
            "judge": "ij",
        },
    ),
    (
        SampleKey,
        {"sampling": {"guidance_scale": 4}, "conditions": "ab", "seeds": SEEDS},
        {"sampling": {}, "conditions": "ac", "seeds": (1, 3, "model", "fit")},
    ),
    (
        CuratedKey,
        {"curation": identity(), "dataset": "digits", "seeds": SEEDS},
        {"curation": identity(keep=0.5), "dataset": "mnist", "seeds": (0, 4, "model", "fit"), "scorer": "ab"},
    ),
    (
        ExtractorKey,
        {"extractor": identity(), "dataset": "digits"},
        {"extractor": identity(steps=3), "dataset": "mnist"},
    ),
    (FeaturesKey, {"extractor": identity()}, {"extractor": identity(steps=3)}),
    (
        RealFeaturesKey,
        {"extractor": identity(), "dataset": "digits", "split": "train", "rows": "ab"},
        {"extractor": identity(steps=3), "dataset": "mnist", "split": "reference", "rows": "ac"},
    ),
    (
        FeaturesPartKey,
        {"extractor": identity(), "dataset": "digits", "split": "train", "rows": "ab"},
        {"extractor": identity(steps=3), "dataset": "mnist", "split": "reference", "rows": "ac"},
    ),
    (
        FloorKey,
        {"metric": identity(), "rows": ("ab", "cd"), "n": 40},
        {"metric": identity(k=5), "rows": ("cd", "ab"), "n": 41, "groups": "ef", "additions": 1},
    ),
    (EncodingKey, {"encoder": identity(), "rows": "ab"}, {"encoder": identity(a=1), "rows": "ac", "block": "ef"}),
    (PromptsKey, {"encoder": identity(), "texts": "ab"}, {"encoder": identity(a=1), "texts": "ac"}),
    (KnownKey, {"metric": identity(), "rows": "ab"}, {"metric": identity(k=5), "rows": "cd"}),
]
EVERY_KIND = pytest.mark.parametrize(("kind", "facts", "others"), KINDS, ids=lambda value: getattr(value, "kind", ""))


def kinds_below(kind: type[StageKey]) -> set[type[StageKey]]:
    below = {below for below in kind.__subclasses__() if below.__module__ == StageKey.__module__}
    return below.union(*map(kinds_below, below))


def test_every_kind_of_key_is_tested_here() -> None:
    ours = kinds_below(StageKey)
    assert {kind for kind, _, _ in KINDS} == ours
    for kind, _, others in KINDS:
        assert others.keys() == {field.name for field in fields(kind)}


@EVERY_KIND
def test_equal_facts_give_equal_digests(kind: type[StageKey], facts: dict[str, Any], others: dict[str, Any]) -> None:
    key = kind(**facts).digest(PARENTS)
    assert key == kind(**dict(reversed(facts.items()))).digest(list(PARENTS))
    assert len(key) == 32
    assert set(key) <= set("0123456789abcdef")


@EVERY_KIND
def test_every_field_and_the_parents_change_the_digest(
    kind: type[StageKey], facts: dict[str, Any], others: dict[str, Any]
) -> None:
    keys = [kind(**{**facts, name: value}).digest(PARENTS) for name, value in others.items()]
    keys += [kind(**facts).digest(parents) for parents in (PARENTS, PARENTS[::-1], PARENTS[:1], ())]
    assert len(set(keys)) == len(others) + 4


@EVERY_KIND
def test_a_new_field_with_a_default_changes_no_digest(
    kind: type[StageKey], facts: dict[str, Any], others: dict[str, Any]
) -> None:
    extended: Any = make_dataclass(
        f"Extended{kind.__name__}", [("added", Any, dataclass_field(default=7))], bases=(kind,), frozen=True
    )
    assert extended(**facts).digest(PARENTS) == kind(**facts).digest(PARENTS)
    assert extended(**facts, added=8).digest(PARENTS) != kind(**facts).digest(PARENTS)
    assert extended(**facts, added=8).facts() == {**kind(**facts).facts(), "added": 8}


@dataclass(frozen=True)
class Numbered(StageKey):
    """Identify a stage by a value."""

    kind: ClassVar[str] = "numbered"

    value: Any = None


@dataclass(frozen=True)
class OtherKind(StageKey):
    """Identify a stage of another kind by the same fact."""

    kind: ClassVar[str] = "other"

    value: Any = None


def test_a_field_that_equals_its_default_is_left_out() -> None:
    plain = FitKey(identity(), 10, 8, "ab", SEEDS)
    assert FitKey(identity(), 10, 8, "ab", SEEDS, "32-true", 1.0, ()) == plain
    assert plain.facts().keys() == {"model", "steps", "batch_size", "rows", "seeds"}
    # 1 equals the default 1.0, as a command line may write either
    assert FitKey(identity(), 10, 8, "ab", SEEDS, gradient_clip=1).digest() == plain.digest()


def test_the_kind_changes_the_digest() -> None:
    assert Numbered(3).digest(PARENTS) != OtherKind(3).digest(PARENTS)
    assert Numbered(3).facts() == OtherKind(3).facts()


def test_whole_floats_equal_integers_at_any_depth() -> None:
    assert Numbered(2.0).digest() == Numbered(2).digest()
    assert Numbered({"a": [1.0, {"b": (2.0, -0.0)}]}).digest() == Numbered({"a": (1, {"b": [2, 0]})}).digest()
    assert Numbered(2.5).digest() != Numbered(2).digest()
    assert Numbered(True).digest() != Numbered(1).digest()


def test_the_order_of_names_in_a_mapping_does_not_matter() -> None:
    one = {"a": 1, "b": [1, {"d": 2, "c": 3}]}
    other = {"b": [1, {"c": 3, "d": 2}], "a": 1}
    assert Numbered(one).digest() == Numbered(other).digest()
    assert Numbered([1, 2]).digest() != Numbered([2, 1]).digest()


@pytest.mark.parametrize("value", [math.nan, [1, math.nan], {"a": {"b": math.nan}}])
def test_nan_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="JSON"):
        Numbered(value).digest()


def test_infinity_has_a_digest() -> None:
    keys = {Numbered(value).digest() for value in (math.inf, -math.inf, 1e308, None)}
    assert len(keys) == 4
    assert Numbered({"a": [math.inf]}).digest() == Numbered({"a": [math.inf]}).digest()


def test_digests_are_fixed_for_good() -> None:
    # A store outlives the code, so another digest for these facts would compute every stage again
    key = FitKey(identity(lr=0.1), 10, 8, "ab", SEEDS, vocabulary=("a",))
    assert key.digest(PARENTS) == "a741752f7446b03090ee30d9b1c25b71"
    assert digest({"a": [1.0, "é"]}, 12) == "83a175c500b5"


NUMBERS = st.integers(-(10**6), 10**6) | st.floats(allow_nan=False, allow_infinity=False, width=32)
PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(PLAIN)
def test_whole_numbers_keeps_values_and_is_done_after_one_pass(value: Any) -> None:
    once = whole_numbers(value)
    assert once == value
    assert whole_numbers(once) == once


def conditions(labels: list[int], texts: list[str], context: torch.Tensor | None = None) -> Conditions:
    return Conditions(np.array(labels), Captions.of(texts), context)


def test_conditions_have_a_digest_of_labels_prompts_and_context() -> None:
    context = torch.arange(4).reshape(2, 2)
    plain = digest_of_conditions(conditions([0, 1], ["a", "b"], context))
    assert plain == digest_of_conditions(conditions([0, 1], ["a", "b"], context.clone()))
    others: Mapping[str, Conditions] = {
        "labels": conditions([1, 0], ["a", "b"], context),
        "prompts": conditions([0, 1], ["b", "a"], context),
        "no context": conditions([0, 1], ["a", "b"]),
        "context": conditions([0, 1], ["a", "b"], context.flip(0)),
    }
    assert len({plain, *map(digest_of_conditions, others.values())}) == 5
    # Where one prompt ends and the next begins matters, and the order of their table does not
    assert digest_of_conditions(conditions([0, 1], ["ab", "c"])) != digest_of_conditions(
        conditions([0, 1], ["a", "bc"])
    )
    one = Conditions(np.array([0, 1]), Captions(("a", "b"), np.array([1, 0])))
    other = Conditions(np.array([0, 1]), Captions(("b", "a"), np.array([0, 1])))
    assert digest_of_conditions(one) == digest_of_conditions(other)


def test_pictures_are_hashed_part_by_part_as_their_bytes_are(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = torch.arange(7 * 12, dtype=torch.uint8).reshape(7, 3, 2, 2)
    order = torch.tensor([6, 0, 3, 3, 1])
    whole = pictures[order].numpy().tobytes()
    labels = np.arange(5)
    monkeypatch.setattr(keys, "HASHED", 2 * 12)  # two pictures
    view = View.of(pictures).index_select(0, order)
    assert digest_of_rows(view) == hashlib.sha256(whole).hexdigest()[:32]
    wanted = hashlib.sha256(labels.tobytes() + whole).hexdigest()[:32]
    for context in (view, pictures[order]):
        assert digest_of_conditions(Conditions(labels, Captions(), context)) == wanted
    assert digest_of_rows(view.index_select(0, order[:0])) == hashlib.sha256().hexdigest()[:32]


def test_labels_of_another_integer_type_have_the_same_digest() -> None:
    texts = Captions.of(["a", "b"])
    narrow = Conditions(np.array([0, 1], np.int32), texts)
    assert digest_of_conditions(narrow) == digest_of_conditions(Conditions(np.array([0, 1]), texts))


def test_an_array_has_a_digest_of_its_values_in_their_order() -> None:
    numbers = np.arange(6)
    assert digest_of_array(numbers) == digest_of_array(np.arange(12)[:6])
    assert len({digest_of_array(array) for array in (numbers, numbers[::-1], numbers[:5])}) == 3
