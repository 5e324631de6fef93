from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from collapse_lab.engine.executor import Alone
from collapse_lab.engine.keys import StageKey
from collapse_lab.engine.stages import Stage
from collapse_lab.storage.store import MANIFEST, Payload, Store


@dataclass(frozen=True)
class NumberedFit(StageKey):
    """Identify a stage of the kind `fit` by a number."""

    kind: ClassVar[str] = "fit"

    number: int


@dataclass(frozen=True)
class NumberedSample(NumberedFit):
    """Identify a stage of the kind `sample` by a number."""

    kind: ClassVar[str] = "sample"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", Alone())
    store.open()
    return store


def stage(
    store: Store,
    number: int = 0,
    parents: Sequence[Stage] = (),
    key: type[NumberedFit] = NumberedFit,
    produce: Callable[..., Payload] = Payload,
    **changes: Any,
) -> Stage:
    return Stage(store, key(number), produce, parents, **changes)


def noting(done: list[str], name: str) -> Callable[[], Payload]:
    """Return a function that appends a name to `done` and produces the number of names there."""

    def produce() -> Payload:
        done.append(name)
        return Payload({"x": torch.arange(3)}, {"nth": len(done)})

    return produce


def are_ready(stages: Sequence[Stage]) -> list[bool]:
    return [stage.ready for stage in stages]


def test_the_key_of_a_stage_depends_on_kind_facts_and_parents_alone(store: Store, tmp_path: Path) -> None:
    parents = [stage(store, 1), stage(store, 2)]
    one = stage(store, 0, parents)
    elsewhere = Store(tmp_path / "other", Alone(), keep="metrics", every=7)
    assert stage(elsewhere, 0, parents, produce=lambda: Payload(meta={"x": 1}), persist=False).key == one.key
    others = [
        stage(store, 0, parents[::-1]),
        stage(store, 0, parents[:1]),
        stage(store, 0),
        stage(store, 3, parents),
        stage(store, 0, parents, key=NumberedSample),
        stage(store, 0, [stage(store, 1), stage(store, 2, [stage(store, 4)])]),
    ]
    assert len({one.key, *(other.key for other in others)}) == 7


def test_the_manifest_of_a_stage_holds_its_facts_and_its_parents(store: Store) -> None:
    parent = stage(store, 1)
    child = stage(store, 0, [parent])
    child.value()
    manifest = json.loads((store.root / "fit" / child.key[:2] / child.key / MANIFEST).read_text())
    assert (manifest["kind"], manifest["key"]) == ("fit", child.key)
    assert (manifest["fields"], manifest["parents"]) == ({"number": 0}, [parent.key])


def test_a_committed_stage_is_not_computed_again(store: Store) -> None:
    done: list[str] = []
    first, again = (stage(store, produce=noting(done, "it")) for _ in range(2))
    assert are_ready([first, again]) == [False, False]
    assert first.value() is first.value()
    assert are_ready([first, again]) == [True, True]
    assert torch.equal(again.value().tensors["x"], torch.arange(3))
    assert again.value().meta == {"nth": 1}
    assert again.value().seconds == first.value().seconds > 0
    assert done == ["it"]


def test_a_stage_that_is_not_persisted_leaves_nothing_behind(store: Store) -> None:
    passing = stage(store, produce=noting([], "it"), persist=False)
    assert passing.value().meta == passing.value().meta == {"nth": 1}
    assert are_ready([passing]) == [True]
    assert not store.has("fit", passing.key)
    passing.release()
    assert are_ready([passing]) == [False]
    assert passing.value().meta == {"nth": 2}


def test_a_stage_that_is_not_persisted_still_reads_what_another_run_has_committed(store: Store) -> None:
    done: list[str] = []
    stage(store, produce=noting(done, "other")).value()
    assert stage(store, produce=noting(done, "passing"), persist=False).value().meta == {"nth": 1}
    assert done == ["other"]


def test_release_drops_a_payload_from_memory_and_forget_from_the_store_too(store: Store) -> None:
    one = stage(store)
    one.value()
    one.release()
    assert are_ready([one]) == [True]
    one.forget()
    assert are_ready([one]) == [False]
    one.forget()
    one.value()
    assert are_ready([one]) == [True]


def test_parents_of_a_committed_stage_are_not_computed_again(store: Store) -> None:
    done: list[str] = []
    old = stage(store, 0, produce=noting(done, "old"), persist=False)
    middle = stage(store, 1, [old], produce=noting(done, "middle"))
    middle.value()
    assert done == ["old", "middle"]
    # The middle stage is committed, so its parent is not needed, though it is gone
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


def test_a_chain_of_thousands_of_stages_does_not_overflow_the_stack(store: Store) -> None:
    last = stage(store, produce=lambda: Payload(meta={"depth": 0}), persist=False)
    for number in range(1, 5001):
        before = last

        def produce(before: Stage = before) -> Payload:
            return Payload(meta={"depth": before.value().meta["depth"] + 1})

        last = stage(store, number, [before], produce=produce, persist=False)
    assert last.value().meta == {"depth": 5000}


@pytest.mark.parametrize("persist", [True, False])
def test_a_keyed_stage_is_produced_with_its_key(store: Store, persist: bool) -> None:
    given: list[str] = []

    def produce(key: str) -> Payload:
        given.append(key)
        return Payload()

    made = stage(store, produce=produce, persist=persist, keyed=True)
    made.value()
    assert given == [made.key]
