from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from collapse_lab.engine.stages import Stage
from collapse_lab.storage.store import Payload, Store, stage_key


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    store.open()
    return store


def stage(
    store: Store,
    number: int = 0,
    parents: Sequence[Stage] = (),
    kind: str = "fit",
    produce: Callable[[], Payload] = Payload,
    **changes: Any,
) -> Stage:
    return Stage(store, kind, {"number": number}, produce, parents, **changes)


def noting(done: list[str], what: str) -> Callable[[], Payload]:
    """Produces how often anything was produced so far, and takes note of it."""

    def produce() -> Payload:
        done.append(what)
        return Payload({"x": torch.arange(3)}, {"nth": len(done)})

    return produce


def at_hand(stages: Sequence[Stage]) -> list[bool]:
    return [stage.ready for stage in stages]


def test_a_key_depends_on_kind_fields_and_parents_and_on_nothing_else(store: Store, tmp_path: Path) -> None:
    parents = [stage(store, 1), stage(store, 2)]
    one = stage(store, 0, parents)
    elsewhere = Store(tmp_path / "other", keep="metrics", every=7)
    assert stage(elsewhere, 0, parents, produce=lambda: Payload(meta={"x": 1}), persist=False).key == one.key
    others = [
        stage(store, 0, parents[::-1]),
        stage(store, 0, parents[:1]),
        stage(store, 0),
        stage(store, 3, parents),
        stage(store, 0, parents, kind="sample"),
        stage(store, 0, [stage(store, 1), stage(store, 2, [stage(store, 4)])]),
    ]
    assert len({one.key, *(other.key for other in others)}) == 7


def test_a_key_does_not_depend_on_the_order_of_fields() -> None:
    assert stage_key("fit", {"a": 1, "b": [1, {"d": 2, "c": 3}]}) == stage_key(
        "fit", {"b": [1, {"c": 3, "d": 2}], "a": 1}
    )
    with pytest.raises(ValueError, match="JSON"):
        stage_key("fit", {"a": float("nan")})


def test_what_is_committed_is_not_computed_again(store: Store) -> None:
    done: list[str] = []
    first, again = (stage(store, produce=noting(done, "it")) for _ in range(2))
    assert at_hand([first, again]) == [False, False]
    assert first.value() is first.value()
    assert at_hand([first, again]) == [True, True]
    assert torch.equal(again.value().tensors["x"], torch.arange(3))
    assert again.value().meta == {"nth": 1}
    assert again.value().seconds == first.value().seconds > 0
    assert done == ["it"]


def test_a_stage_that_is_not_persisted_leaves_nothing_behind(store: Store) -> None:
    passing = stage(store, produce=noting([], "it"), persist=False)
    assert passing.value().meta == passing.value().meta == {"nth": 1}
    assert at_hand([passing]) == [True]
    assert not store.has("fit", passing.key)
    passing.release()
    assert at_hand([passing]) == [False]
    assert passing.value().meta == {"nth": 2}


def test_a_stage_that_is_not_persisted_still_reads_what_another_run_has_committed(store: Store) -> None:
    done: list[str] = []
    stage(store, produce=noting(done, "other")).value()
    assert stage(store, produce=noting(done, "passing"), persist=False).value().meta == {"nth": 1}
    assert done == ["other"]


def test_release_is_of_memory_and_forget_of_the_store_too(store: Store) -> None:
    one = stage(store)
    one.value()
    one.release()
    assert at_hand([one]) == [True]
    one.forget()
    assert at_hand([one]) == [False]
    one.forget()
    one.value()
    assert at_hand([one]) == [True]


def test_only_what_is_needed_is_computed(store: Store) -> None:
    done: list[str] = []
    old = stage(store, 0, produce=noting(done, "old"), persist=False)
    middle = stage(store, 1, [old], produce=noting(done, "middle"))
    middle.value()
    assert done == ["old", "middle"]
    # The middle is committed, so what it once rested on is of no concern, though it is gone
    old.release()
    middle.release()
    stage(store, 2, [middle], produce=noting(done, "new")).value()
    assert done == ["old", "middle", "new"]


def test_a_shared_ancestor_is_computed_once(store: Store) -> None:
    done: list[str] = []
    top = stage(store, 0, produce=noting(done, "top"), persist=False)
    arms = [stage(store, n, [top], produce=noting(done, f"arm {n}")) for n in (1, 2)]
    stage(store, 3, arms).value()
    assert sorted(done) == ["arm 1", "arm 2", "top"]


def test_a_chain_of_thousands_of_stages_is_no_recursion(store: Store) -> None:
    last = stage(store, produce=lambda: Payload(meta={"depth": 0}), persist=False)
    for number in range(1, 5001):
        before = last

        def produce(before: Stage = before) -> Payload:
            return Payload(meta={"depth": before.value().meta["depth"] + 1})

        last = stage(store, number, [before], produce=produce, persist=False)
    assert last.value().meta == {"depth": 5000}
