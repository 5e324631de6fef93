"""What frozen encoders make of rows and prompts: stages of the store that all fits and samplings share.

No fit is keyed by them, because they follow from its rows and from the files that its family's identity names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from collapse_lab.engine.arithmetic import choose_arithmetic
from collapse_lab.engine.keys import EncodingKey, PromptsKey, digest, digest_of_array, digest_of_rows
from collapse_lab.engine.lab import Lab, ModelComponent
from collapse_lab.engine.pool import Pool
from collapse_lab.engine.stages import Stage
from collapse_lab.engine.view import View
from collapse_lab.storage.store import Payload
from collapse_lab.types import REAL, Conditions, Encoder, Progress, Rows, Samples, States

# Rows of a stage. Latents of pictures of 512 x 512 take 131 KB a row, so a stage takes 134 MB while it is written, and
# a run that is stopped while it encodes loses at most so many rows
PART = 1024
ENCODED = "encoded"  # the name of the tensor in a stage
Load = Callable[[], Samples[Rows]]


@dataclass(frozen=True)
class Encoded:
    """Hold the encodings of a training set, before they are computed.

    Attributes:
        stages: what they are gathered from, and the states of the prompts of real rows.
        gather: returns them, in the order of the rows.
    """

    stages: Sequence[Stage]
    gather: Callable[[], Rows]


class Looked:
    """Give the states of prompts that were looked up already, also in another process, which has no store.

    Args:
        states: gives the states of prompts from their stages.
        texts: all prompts that are going to be asked for, and the empty one.
    """

    def __init__(self, states: States, texts: Sequence[str]) -> None:
        known = list(dict.fromkeys(["", *texts]))
        self._rows = View.of(states(known))
        self._numbers = {text: number for number, text in enumerate(known)}

    def __call__(self, texts: Sequence[str]) -> Rows:
        """Return the states of prompts."""
        return self._rows.index_select(0, torch.tensor([self._numbers[text] for text in texts], dtype=torch.int64))


class Parts:
    """Distribute numbered items over stages, so that each item is in one stage once it was asked for.

    Items are cut into runs of `PART` by their numbers. A run of which half or more is asked for becomes one stage as a
    whole, so that training sets that differ in a few rows share it. Of another run, a stage holds what is asked for
    and is in no stage yet. So at most twice as many items are encoded as are needed.

    Args:
        make: returns the stage of the items with some numbers.
        whole: whether every run becomes one stage as a whole.

    Attributes:
        stages: the stages that were made, in their order.
    """

    def __init__(self, make: Callable[[np.ndarray], Stage], whole: bool = False) -> None:
        self.stages: list[Stage] = []
        self._make, self._whole = make, whole
        self._stage, self._row = np.full(0, -1, np.int64), np.zeros(0, np.int64)

    def cover(self, items: np.ndarray, n: int) -> list[Stage]:
        """Return the stages that hold some items; stages are made for those that are in none yet.

        Args:
            items: numbers (k,) in [0, n).
            n: how many items there are now; a later call may give more.
        """
        more = n - len(self._stage)
        self._stage = np.concatenate([self._stage, np.full(more, -1, np.int64)])
        self._row = np.concatenate([self._row, np.zeros(more, np.int64)])
        lacking = np.unique(items[self._stage[items] < 0])
        for run in np.unique(lacking // PART):
            every = run * PART + np.flatnonzero(self._stage[run * PART : (run + 1) * PART] < 0)
            wanted = lacking[lacking // PART == run]
            chosen = every if self._whole or 2 * len(wanted) >= len(every) else wanted
            self._stage[chosen], self._row[chosen] = len(self.stages), np.arange(len(chosen))
            self.stages.append(self._make(chosen))
        return [self.stages[number] for number in np.unique(self._stage[items])]

    def covers(self, items: np.ndarray) -> bool:
        """Return whether every item is in a stage."""
        return bool((items < len(self._stage)).all() and (self._stage[items] >= 0).all())

    def view(self, items: np.ndarray) -> View:
        """Return the encodings of items that are covered, still to be gathered from the files of their stages."""
        stage_of, parts = self._stage[items], []
        for number in np.unique(stage_of):
            places = np.flatnonzero(stage_of == number)
            rows = torch.from_numpy(self._row[items[places]])
            parts.append((_mapped(self.stages[number]).index_select(0, rows), torch.from_numpy(places)))
        return View.joined(parts)


class Encodings:
    """Lay out the stages of encoded rows and prompts, and give what they hold.

    The rows of generated samples are encoded as a whole when a later generation trains on some of them.
    """

    def __init__(self, lab: Lab, progress: Progress) -> None:
        self._lab, self._progress = lab, progress
        self._rows: dict[tuple[str, str], Parts] = {}  # by encoder and block
        self._generated: set[tuple[str, str]] = set()
        self._real = ""  # the key of the block of real rows, once a training set has some
        self._prompts: dict[str, Parts] = {}
        self._texts: dict[str, int] = {}

    @property
    def shared(self) -> list[Stage]:
        """Return the stages of real rows and of prompts."""
        real = [parts for place, parts in self._rows.items() if place not in self._generated]
        return [stage for parts in [*real, *self._prompts.values()] for stage in parts.stages]

    def of_samples(self, key: str) -> list[Stage]:
        """Return the stages of the encodings of generated samples.

        Args:
            key: the key of the stage of the samples.
        """
        return [stage for (_, block), parts in self._rows.items() if block == key for stage in parts.stages]

    def training_set(
        self,
        component: ModelComponent,
        generation: int,
        pool: Pool,
        ids: np.ndarray,
        sources: Mapping[str, Stage],
    ) -> Encoded | None:
        """Return the encodings of a training set; None where the family has no encoder.

        Args:
            component: the family.
            generation: the generation that trains on the rows.
            pool: what may be trained on.
            ids: the numbers of the rows in the pool.
            sources: the stages of the blocks that are samples.
        """
        encoder = component.encoder
        if encoder is None:
            return None
        stages: list[Stage] = []
        chosen: list[tuple[Parts, np.ndarray, torch.Tensor]] = []
        for block, rows, places in pool.blocks(ids):
            parts = self._parts(component, generation, block.key, block.load, sources.get(block.key))
            stages += parts.cover(rows, len(block.labels))
            chosen.append((parts, rows, torch.from_numpy(places)))
            if block.source == REAL:
                self._real = block.key
                # Only these, because generated rows have the prompts that they were sampled for
                captions = block.load().captions.take(rows)
                used = [captions.table[number] for number in np.unique(captions.index)]
                stages += self.prompts(component, generation, used)
        return Encoded(stages, lambda: View.joined([(parts.view(rows), places) for parts, rows, places in chosen]))

    def prompts(self, component: ModelComponent, generation: int, texts: Sequence[str]) -> list[Stage]:
        """Return the stages of the states of prompts, the empty one among them; none where there is no encoder.

        Args:
            component: the family.
            generation: the generation that needs them.
            texts: the prompts.
        """
        if component.encoder is None:
            return []
        parts = self._parts_of_prompts(component.encoder, component.name, generation)
        return parts.cover(self._numbers(["", *texts]), len(self._texts))

    def states(self, component: ModelComponent, generation: int) -> States:
        """Return a function that gives the states of prompts from their stages.

        Args:
            component: a family that has an encoder.
            generation: the generation that needs them.
        """
        encoder = component.encoder
        assert encoder is not None

        def of(texts: Sequence[str]) -> Rows:
            parts, numbers = self._parts_of_prompts(encoder, component.name, generation), self._numbers(texts)
            parts.cover(numbers, len(self._texts))  # because a probe may ask for prompts that no fit has
            return parts.view(numbers)

        return of

    def pictures(self, component: ModelComponent, generation: int, conditions: Conditions) -> Rows | None:
        """Return the encodings of pictures that samples start from; None where there are none, or no encoder.

        Where the run's training sets have the stages of all these pictures, they are read from there. Otherwise the
        pictures have a stage of their own, which does not depend on what is trained on, so that all seeds share it.

        Args:
            component: the family.
            generation: the generation that samples.
            conditions: what is sampled.
        """
        pictures, numbers = conditions.context, conditions.rows
        if pictures is None or component.encoder is None:
            return None
        if numbers is not None and (trained := self._trained(component.encoder, numbers)) is not None:
            component.encoder.close()
            return trained
        key, rows = digest_of_rows(pictures), np.arange(len(pictures))
        return self._encoded(component, generation, key, lambda: Samples(View.of(pictures), rows), rows)

    def reference(self, component: ModelComponent, generation: int, rows: np.ndarray) -> Rows | None:
        """Return the encodings of some reference rows; None where there is no encoder.

        Args:
            component: the family.
            generation: the generation that is measured.
            rows: the numbers of the rows.
        """
        return self._encoded(
            component, generation, f"{self._lab.dataset.key} reference", lambda: self._lab.real.reference, rows
        )

    def _trained(self, encoder: Encoder, numbers: np.ndarray) -> Rows | None:
        """Return the encodings of rows of the training split; None where training sets lack one of them."""
        parts = self._rows.get((digest(encoder.row_identity, 32), self._real))
        known = self._lab.trainable
        rows = np.searchsorted(known, numbers)
        if parts is None or not np.isin(numbers, known).all() or not parts.covers(rows):
            return None
        return parts.view(rows)

    def _encoded(
        self, component: ModelComponent, generation: int, key: str, load: Load, rows: np.ndarray
    ) -> Rows | None:
        if component.encoder is None:
            return None
        parts = self._parts(component, generation, key, load)
        parts.cover(rows, len(load()))
        view = parts.view(rows)
        component.encoder.close()
        return view

    def _numbers(self, texts: Sequence[str]) -> np.ndarray:
        if not self._texts:
            # Because all runs on a data set should cut its captions in the same way, number them all
            known = dict.fromkeys(["", *self._lab.real.train.captions.table])
            self._texts |= {text: number for number, text in enumerate(known)}
        return np.array([self._texts.setdefault(text, len(self._texts)) for text in texts], np.int64)

    def _parts(
        self, component: ModelComponent, generation: int, key: str, load: Load, source: Stage | None = None
    ) -> Parts:
        assert component.encoder is not None
        place = digest(component.encoder.row_identity, 32), key
        if place not in self._rows:
            make = partial(self._row_stage, component.encoder, component.name, generation, key, load, source)
            self._rows[place] = Parts(make, whole=source is not None)
            if source is not None:
                self._generated.add(place)
        return self._rows[place]

    def _parts_of_prompts(self, encoder: Encoder, name: str, generation: int) -> Parts:
        key = digest(encoder.prompt_identity, 32)
        if key not in self._prompts:
            self._prompts[key] = Parts(partial(self._prompt_stage, encoder, name, generation))
        return self._prompts[key]

    def _row_stage(
        self,
        encoder: Encoder,
        name: str,
        generation: int,
        known: str,
        load: Load,
        source: Stage | None,
        rows: np.ndarray,
    ) -> Stage:
        def work(*how: Any) -> torch.Tensor:
            return encoder.encode_rows(load().take(rows).data, *how)

        key = EncodingKey(encoder.row_identity, digest_of_array(rows), known if source is None else "")
        produce = self._producing(work, name, generation, "encode", len(rows))
        persist = source is None or source.persist
        return Stage(self._lab.store, key, produce, [] if source is None else [source], persist)

    def _prompt_stage(self, encoder: Encoder, name: str, generation: int, numbers: np.ndarray) -> Stage:
        every = list(self._texts)
        texts = [every[number] for number in numbers]
        named = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:32]
        key = PromptsKey(encoder.prompt_identity, named)
        produce = self._producing(
            partial(encoder.encode_prompts, texts), name, generation, "encode prompts", len(texts)
        )
        return Stage(self._lab.store, key, produce)

    def _producing(
        self, work: Callable[..., torch.Tensor], name: str, generation: int, phase: str, total: int
    ) -> Callable[[], Payload]:
        def produce() -> Payload:
            lab = self._lab
            choose_arithmetic()  # because a run that computes fast shares stages with one that computes exactly
            self._progress.start(generation, name, phase, total)
            try:
                return Payload({ENCODED: work(lab.device, self._progress, lab.store.allocate)})
            finally:
                self._progress.stop()

        return produce


def _mapped(stage: Stage) -> View:
    payload = stage.value()
    if payload.file is None and stage.persist:
        stage.release()  # because what was small enough to stay in memory after it was made adds up over many stages
        payload = stage.value()
    return View.of(payload.tensors[ENCODED], payload.file)
