"""The features of real rows: stages that several runs share, computed in parts where there are many rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from collapse_lab.engine.extractors import Extractors
from collapse_lab.engine.keys import FeaturesPartKey, RealFeaturesKey, digest_of_array
from collapse_lab.engine.lab import Lab
from collapse_lab.engine.stages import Stage
from collapse_lab.storage.store import Payload
from collapse_lab.types import Rows, Samples, Split

PART = 4096  # rows of a part at most, of which a large network embeds about a thousand a minute


class RealFeatures:
    """Lay out the stages of the features of real rows.

    Many rows are embedded in parts of whole batches, each a stage, so that a stop costs a part and not all. The parts
    have no place in the key of the whole, and `forget_parts` removes them once the whole is committed.

    Args:
        lab: the components of the run.
        extractors: its feature spaces.
    """

    def __init__(self, lab: Lab, extractors: Extractors) -> None:
        self._lab, self._extractors = lab, extractors
        self._parts: list[tuple[Stage, Sequence[Stage]]] = []

    def stage(self, name: str, split: Split, rows: np.ndarray) -> Stage:
        """Return the stage of the features of some rows.

        Args:
            name: the feature space.
            split: the part of the data set.
            rows: the numbers (n,) of the rows in it.
        """
        identity, dataset = self._lab.extractors[name].identity, self._lab.dataset.key
        parents = self._extractors.parents(name)

        def stage_of(kind: type[RealFeaturesKey], numbers: np.ndarray, parts: Sequence[Stage] = ()) -> Stage:
            key = kind(identity, dataset, split, digest_of_array(numbers))
            produce = partial(_joined, parts) if parts else partial(self._embedded, name, split, numbers)
            # reversed because the last stage that another one lacks is computed first
            return Stage(self._lab.store, key, produce, parents, derived=parts[::-1])

        size = self._extractors.part_of(name, PART)
        if size is None or len(rows) <= size:
            return stage_of(RealFeaturesKey, rows)
        cuts = range(size, len(rows), size)
        parts = [stage_of(FeaturesPartKey, part) for part in np.split(rows, cuts)]
        whole = stage_of(RealFeaturesKey, rows, parts)
        self._parts.append((whole, parts))
        return whole

    def forget_parts(self) -> None:
        """Remove the parts of what is committed as a whole."""
        for whole, parts in self._parts:
            for part in parts if whole.ready else []:
                part.forget()

    def _embedded(self, name: str, split: Split, rows: np.ndarray) -> Payload:
        samples: Samples[Rows] = getattr(self._lab.real, split)
        return self._extractors.embed(name, samples.take(rows), 0, split)


def _joined(parts: Sequence[Stage]) -> Payload:
    tensors = [part.value().tensors for part in parts]
    for part in parts:
        part.release()
    return Payload({name: torch.cat([some[name] for some in tensors]) for name in tensors[0]})
