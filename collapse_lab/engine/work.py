"""What the stages of a run do: fit, sample, curate. Their order is the planner's business."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from collapse_lab.engine.encodings import Encodings, Looked
from collapse_lab.engine.extractors import Extractors
from collapse_lab.engine.judging import Judges
from collapse_lab.engine.keys import CuratedKey, FitKey, digest
from collapse_lab.engine.lab import Lab, ModelComponent
from collapse_lab.engine.oversampling import joined
from collapse_lab.engine.payloads import samples_of, samples_to_payload, started_from
from collapse_lab.engine.stages import Stage
from collapse_lab.engine.view import asked, given
from collapse_lab.errors import Diverged
from collapse_lab.seeds import Seeds
from collapse_lab.storage.store import Payload
from collapse_lab.types import (
    Budget,
    Conditions,
    FitRequest,
    GenerativeModel,
    Progress,
    Rows,
    SampleRequest,
    Samples,
)


class Work:
    """Make the bodies of stages. It keeps the last model in memory, because sampling follows fitting.

    Attributes:
        encodings: what encoders make of rows and prompts, for the families that have one.
        judges: what judges the images of fits, for the families that choose their weights by them.
    """

    def __init__(self, lab: Lab, extractors: Extractors, progress: Progress) -> None:
        self._lab, self._extractors, self._progress = lab, extractors, progress
        self.encodings, self.judges = Encodings(lab, progress), Judges(lab, extractors)
        self._last: tuple[str, GenerativeModel] | None = None

    def fitting(
        self,
        component: ModelComponent,
        budget: Budget,
        seeds: Seeds,
        view: Callable[[], Samples[Rows]],
        warm: Stage | None,
        row_weights: np.ndarray | None = None,
    ) -> Callable[[str], Payload]:
        """Return a function of the stage's key that builds the model, loads the weights it starts from, and fits it.

        Args:
            component: the family.
            budget: steps, batch size and precision.
            seeds: the place of the fit.
            view: returns the training set.
            warm: the fit whose weights this one starts from, None for fresh weights.
            row_weights: what each row counts, (n,); None where all rows count the same.
        """

        def produce(key: str) -> Payload:
            # Because a GPU should not hold the model that was sampled last beside the one that is fitted, let go of it
            self._last = None
            model = self._fresh(component, seeds)
            if warm is not None:
                model.load(warm.value().tensors)
            if component.validates:
                model.validate_on(self._lab.validation)  # type: ignore[attr-defined]
            if component.judged_in is not None:
                model.judge_by(self.judges.judge(component, budget.arithmetic))  # type: ignore[attr-defined]
            rows = given(model, view())
            if budget.devices > 1 and component.encoder is not None:
                # Because the processes of the fit have no store, look up the states of its prompts here
                used = [rows.captions.table[number] for number in np.unique(rows.captions.index)]
                states = Looked(self.encodings.states(component, seeds.generation), used)
                model.take_states(states)  # type: ignore[attr-defined]
            checkpoint = self._lab.checkpoint(FitKey.kind, key)
            self._progress.start(seeds.generation, component.name, "fit", budget.steps)
            try:
                self._lab.executor.fit(
                    FitRequest(
                        model, component.fit_identity, rows, budget, seeds, self._progress, checkpoint, row_weights
                    )
                )
            except Diverged as diverged:
                return Payload(divergence=str(diverged))
            finally:
                self._progress.stop()
            return Payload(model.weights(), _looks_of(model))

        return produce

    def sampling(
        self, component: ModelComponent, generation: int, fit: Stage, seeds: Seeds, conditions: Conditions
    ) -> Callable[[], Payload]:
        """Return a function that samples the fitted model for the conditions."""

        def produce() -> Payload:
            model = self.fitted(component.name, fit, generation)
            wanted = asked(model, conditions)
            if conditions.context is not None and getattr(model, "encodes_context", False):
                encoded = self.encodings.pictures(component, generation, conditions)
                wanted = replace(wanted, encoded=encoded)
            phase = seeds.role.replace("/", " ")
            self._progress.start(generation, component.name, phase, model.sampling_steps(len(conditions)))
            settings = component.sampling_arguments(generation)
            try:
                samples = self._lab.executor.sample(
                    SampleRequest(
                        model,
                        component.fit_identity,
                        settings,
                        generation,
                        wanted,
                        seeds,
                        self._progress,
                        self._lab.training.arithmetic,
                        self._lab.store.allocate,
                    )
                )
            except Diverged as diverged:
                return Payload(divergence=str(diverged))
            finally:
                self._progress.stop()
            payload = samples_to_payload(samples)
            return replace(payload, meta={**payload.meta, **started_from(conditions, model)})

        return produce

    def curate(self, generation: int, name: str, sampled: Sequence[Stage]) -> Stage:
        """Return the stage between a model's samples and the pool; the samples' own stage where nothing is curated.

        Args:
            generation: the generation of the model.
            name: the member of the population.
            sampled: the stage of the samples of the retrained prompts, and that of more of them where there is one.
        """
        curation = self._lab.curation
        if not curation.changes_samples:
            return sampled[0]
        scorer = self._extractors.scorer_for(curation)
        seeds = Seeds(self._lab.seed, generation, name, "curate")

        def produce() -> Payload:
            eligible, _ = self._lab.members_of(self._lab.generated_by(name))
            real = given(curation, self._lab.real.train.take(np.flatnonzero(eligible)))
            extractor = None if scorer is None else self._extractors.get(scorer)
            generated = joined([samples_of(stage.value()) for stage in sampled])
            return samples_to_payload(curation.apply(generated, real, extractor, seeds.numpy()))

        parents = [*sampled, *([] if scorer is None else self._extractors.parents(scorer))]
        space = self._lab.extractors.get(scorer or "")
        named = "" if space is None else digest(space.identity, 32)
        key = CuratedKey(self._lab.curation_identity, self._lab.dataset.key, tuple(seeds.path), named)
        return Stage(self._lab.store, key, produce, parents, sampled[0].persist)

    def fitted(self, name: str, fit: Stage, generation: int) -> GenerativeModel:
        """Return the model of a generation with the weights that its fit produced, on the run's device."""
        if self._last is None or self._last[0] != fit.key:
            component = self._lab.model(name)
            model = self._fresh(component, Seeds(self._lab.seed, generation, name, "fit"))
            model.load(fit.value().tensors)
            model.to(self._lab.device)
            self._last = (fit.key, model)
        return self._last[1]

    def _fresh(self, component: ModelComponent, seeds: Seeds) -> GenerativeModel:
        """Return the model of a fit before the fit, which takes the states of prompts from their stages."""
        model = self._lab.fresh(component, seeds)
        if component.encoder is not None:
            component.encoder.close()  # because a fit or a sampling follows, which needs the room
            model.take_states(self.encodings.states(component, seeds.generation))  # type: ignore[attr-defined]
        return model


def _looks_of(model: GenerativeModel) -> dict[str, Any]:
    """Return for a payload's meta the step and the validation loss of each look of a fit; nothing where there is none.

    A loss that is not finite is None, because JSON has no such number.
    """
    looks = [[step, loss if math.isfinite(loss) else None] for step, loss in getattr(model, "looks", [])]
    return {"validation": looks} if looks else {}
