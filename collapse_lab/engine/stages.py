"""A stage: a piece of work whose key is known before it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from collapse_lab.storage.store import Payload, Store, stage_key, timed


class Stage:
    """One node of the graph of a run. Its key hashes its own `fields` and its parents' keys, so that the whole graph
    of a run can be laid out, checked and printed before anything is computed.

    persist: whether the store commits it; if not, it lives in memory until `release`.
    """

    def __init__(
        self,
        store: Store,
        kind: str,
        fields: Mapping[str, Any],
        produce: Callable[[], Payload],
        parents: Sequence[Stage] = (),
        persist: bool = True,
    ) -> None:
        self.kind, self.fields, self.parents, self.persist = kind, fields, list(parents), persist
        self.key: str = stage_key(kind, {**fields, "parents": [parent.key for parent in parents]})
        self._store, self._produce = store, produce
        self._payload: Payload | None = None

    @property
    def held(self) -> bool:
        """Whether its payload is in memory."""
        return self._payload is not None

    @property
    def ready(self) -> bool:
        """Whether its payload is at hand, in memory or committed."""
        return self.held or self._store.has(self.kind, self.key)

    def value(self) -> Payload:
        """Its payload; whatever it rests on is computed first.

        The walk keeps its own stack: after a restart with `store.keep=metrics` a chain can be thousands of stages
        deep, which recursion would not survive.
        """
        waiting = [self]
        while waiting:
            stage = waiting[-1]
            missing = [] if stage.ready else [parent for parent in stage.parents if not parent.ready]
            if missing:
                waiting.extend(missing)
            else:
                waiting.pop()
                stage._obtain()
        assert self._payload is not None
        return self._payload

    def release(self) -> None:
        """Lets go of the payload in memory."""
        self._payload = None

    def forget(self) -> None:
        """Lets go of it in memory and in the store."""
        self.release()
        self._store.forget(self.kind, self.key)

    def _obtain(self) -> Payload:
        if self._payload is None:
            if self.persist:
                described = {"fields": self.fields, "parents": [parent.key for parent in self.parents]}
                self._payload = self._store.obtain(self.kind, self.key, self._produce, described)
            else:
                self._payload = self._store.read(self.kind, self.key) or timed(self._produce)
        return self._payload
