"""A stage: a piece of work whose key is known before it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from collapse_lab.engine.keys import StageKey
from collapse_lab.storage.store import Payload, Size, Store


class Stage:
    """Represent one node of the graph of a run.

    The key hashes the stage's own facts and its parents' keys, so that the whole graph of a run can be laid out,
    checked and printed before anything is computed.

    Args:
        store: where the stage is committed.
        depends_on: the facts that it depends on besides its parents.
        produce: computes the payload. It is called with the key of the stage if `keyed`.
        parents: the stages that it reads.
        persist: whether the store commits it. If not, it lives in memory until `release`.
        keyed: whether `produce` takes the key, under which a fit keeps its checkpoint.
        derived: stages that it reads too, whose values follow from its facts and its parents, so that its key does not
            name them.

    Attributes:
        kind: what it is: `fit`, `sample`, `features`, …
        key: the hash of its facts and of its parents' keys.
        facts: the facts that it depends on besides its parents, as its manifest holds them.
    """

    def __init__(
        self,
        store: Store,
        depends_on: StageKey,
        produce: Callable[..., Payload],
        parents: Sequence[Stage] = (),
        persist: bool = True,
        keyed: bool = False,
        derived: Sequence[Stage] = (),
    ) -> None:
        self.kind, self.parents, self.persist = depends_on.kind, list(parents), persist
        self.derived = list(derived)
        self.key: str = depends_on.digest([parent.key for parent in parents])
        self._store, self.facts = store, depends_on.facts()
        self._produce: Callable[[], Payload] = partial(produce, self.key) if keyed else produce
        self._payload: Payload | None = None

    @property
    def held(self) -> bool:
        """Return whether the payload is in memory."""
        return self._payload is not None

    @property
    def ready(self) -> bool:
        """Return whether the payload can be had without computing it."""
        return self.held or self._store.has(self.kind, self.key)

    @property
    def size(self) -> Size | None:
        """Return how long the stage took and how large it is; None where the store does not hold it."""
        return self._store.size(self.kind, self.key)

    def value(self) -> Payload:
        """Return the payload; the stages that it rests on are computed first.

        The walk keeps its own stack, because after a restart with `store.keep=metrics` a chain can be thousands of
        stages deep, more than Python recurses.
        """
        waiting = [self]
        while waiting:
            stage = waiting[-1]
            reads = [] if stage.ready else [*stage.parents, *stage.derived]
            missing = [read for read in reads if not read.ready]
            if missing:
                waiting.extend(missing)
                continue
            waiting.pop()
            if stage._payload is None and stage.persist:
                described = {"fields": stage.facts, "parents": [parent.key for parent in stage.parents]}
                stage._payload = stage._store.obtain(stage.kind, stage.key, stage._produce, described)
            elif stage._payload is None:
                stage._payload = stage._store.compute(stage.kind, stage.key, stage._produce)
        assert self._payload is not None
        return self._payload

    def release(self) -> None:
        """Let go of the payload in memory."""
        self._payload = None

    def forget(self) -> None:
        """Let go of the payload in memory and in the store."""
        self.release()
        self._store.forget(self.kind, self.key)
