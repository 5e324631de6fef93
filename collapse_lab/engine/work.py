"""What the stages of a run do: fit, sample, curate. Their order is the plan's business."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch

from collapse_lab.curation.none import Nothing
from collapse_lab.engine.extractors import Extractors
from collapse_lab.engine.seeds import Seeds
from collapse_lab.engine.stages import Stage
from collapse_lab.errors import Diverged
from collapse_lab.packing.requests import Fit, Sampling
from collapse_lab.packing.turns import ask
from collapse_lab.storage.store import Payload
from collapse_lab.types import (
    Budget,
    Captions,
    Conditions,
    GenerativeModel,
    Progress,
    Samples,
)

if TYPE_CHECKING:
    from collapse_lab.engine.lab import Lab, ModelPart


class Work:
    """Makes the bodies of stages. It holds the last model used, since sampling follows fitting."""

    def __init__(self, lab: Lab, extractors: Extractors, progress: Progress) -> None:
        self._lab, self._extractors, self._progress = lab, extractors, progress
        self._at_hand: tuple[str, GenerativeModel] | None = None

    def fitting(
        self,
        model: ModelPart,
        budget: Budget,
        seeds: Seeds,
        view: Callable[[], Samples],
        warm: Stage | None,
    ) -> Callable[[], Payload]:
        """Builds the model, loads the weights it starts from, and fits it; a divergence is a result too."""

        def produce() -> Payload:
            fresh = self._fresh(model, seeds)
            if warm is not None:
                fresh.load(warm.value().tensors)
            rows = view()
            self._progress.start(seeds.generation, model.name, "fit", budget.steps)
            try:
                ask(Fit(model, fresh, rows, budget, seeds, self._progress))
            except Diverged as diverged:
                return Payload(meta={"diverged": str(diverged)})
            finally:
                self._progress.stop()
            return Payload(fresh.weights())

        return produce

    def sampling(
        self, model: ModelPart, generation: int, fit: Stage, seeds: Seeds, conditions: Conditions
    ) -> Callable[[], Payload]:
        """Samples the fitted model for the conditions."""

        def produce() -> Payload:
            fitted = self.fitted(model.name, fit, generation)
            phase = seeds.role.replace("/", " ")
            self._progress.start(generation, model.name, phase, fitted.sampling_steps(len(conditions)))
            try:
                return pack_samples(ask(Sampling(model, fitted, generation, conditions, seeds, self._progress)))
            except Diverged as diverged:
                return Payload(meta={"diverged": str(diverged)})
            finally:
                self._progress.stop()

        return produce

    def curate(self, generation: int, name: str, sampled: Stage) -> Stage:
        """The stage between a model's samples and the pool; the samples' own stage where nothing is curated."""
        curation, identity = self._lab.curation, self._lab.curation_identity
        if isinstance(curation, Nothing):
            return sampled
        scorer = self._extractors.scorer() if curation.needs_classifier else None
        seeds = Seeds(self._lab.seed, generation, name, "curate")

        def produce() -> Payload:
            eligible, _ = self._lab.members_of(self._lab.prompts.retrain)
            real = self._lab.real.train.take(np.flatnonzero(eligible))
            extractor = None if scorer is None else self._extractors.get(scorer)
            return pack_samples(curation.apply(unpack_samples(sampled.value()), real, extractor, seeds.numpy()))

        parents = [sampled] if scorer is None else [sampled, *self._extractors.parents(scorer)]
        fields = {"curation": identity, "dataset": self._lab.dataset.key, "seeds": seeds.path}
        return Stage(self._lab.store, "curated", fields, produce, parents, sampled.persist)

    def fitted(self, name: str, fit: Stage, generation: int) -> GenerativeModel:
        """The model of a generation, with the weights that its fit produced, on the run's device."""
        if self._at_hand is None or self._at_hand[0] != fit.key:
            part = next(model for model in self._lab.models if model.name == name)
            fresh = self._fresh(part, Seeds(self._lab.seed, generation, name, "fit"))
            fresh.load(fit.value().tensors)
            fresh.to(self._lab.device)
            self._at_hand = (fit.key, fresh)
        return self._at_hand[1]

    def _fresh(self, model: ModelPart, seeds: Seeds) -> GenerativeModel:
        with seeds.child("init").scoped():
            return model.build(self._lab.dataset.spec, seeds.generation)


def pack_samples(samples: Samples) -> Payload:
    """Samples as a stage's payload."""
    tensors = {"data": samples.data, "labels": torch.from_numpy(samples.labels)}
    if samples.captions.table:
        tensors["captions"] = torch.from_numpy(samples.captions.index)
    return Payload(tensors, {"captions": list(samples.captions.table)})


def unpack_samples(payload: Payload) -> Samples:
    """Samples from a stage's payload."""
    table = tuple(payload.meta["captions"])
    captions = Captions(table, payload.tensors["captions"].numpy()) if table else Captions()
    return Samples(payload.tensors["data"], payload.tensors["labels"].numpy(), captions)


def digest(conditions: Conditions) -> str:
    """SHA-256 over labels, prompts and what is to be continued."""
    sha = hashlib.sha256(np.ascontiguousarray(conditions.labels, np.int64).tobytes())
    for text in conditions.captions.texts():
        sha.update(text.encode() + b"\0")
    if conditions.context is not None:
        sha.update(conditions.context.contiguous().numpy().tobytes())
    return sha.hexdigest()[:32]
