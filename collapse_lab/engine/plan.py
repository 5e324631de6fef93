"""The graph of a run: for every generation, what is trained on which rows and sampled for which prompts.

Nothing here computes; laying the graph out draws every training set from provenance alone, so that a run that asks
for rows that do not exist is refused before it starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from collapse_lab.engine.lab import Lab, ModelPart
from collapse_lab.engine.pool import Block, Pool
from collapse_lab.engine.seeds import Seeds
from collapse_lab.engine.stages import Stage
from collapse_lab.engine.work import Work, digest, unpack_samples
from collapse_lab.errors import UserError
from collapse_lab.mixing.base import Request
from collapse_lab.storage.store import stage_key
from collapse_lab.types import REAL, Conditions, Samples

GRID = 50


@dataclass(frozen=True)
class Step:
    """One model in one generation.

    counts: real and synthetic rows that it is trained on.  samples, grids: by prompt set; grids of pictures alone.
    curated: what enters the pool.
    """

    generation: int
    model: str
    counts: Mapping[str, int]
    fit: Stage
    samples: Mapping[str, Stage]
    grids: Mapping[str, Stage]
    curated: Stage

    @property
    def stages(self) -> list[Stage]:
        extra = [] if self.curated in self.samples.values() else [self.curated]
        return [self.fit, *self.samples.values(), *self.grids.values(), *extra]


@dataclass(frozen=True)
class Asked:
    """What is sampled for one prompt set, and its digest."""

    what: Conditions
    digest: str


class Planner:
    """Lays out the steps of a run, generation by generation."""

    def __init__(self, lab: Lab, work: Work) -> None:
        self._lab, self._work, self._pool = lab, work, Pool()
        self._conditions: dict[tuple[str, int], Asked] = {}
        self._curated_labels: dict[int, np.ndarray] = {}
        self._pictures = tuple(lab.prompts.sets) if lab.dataset.spec.modality == "image" else ()
        self._originals: dict[str, np.ndarray] = {}
        self._sources: dict[str, Stage] = {}
        if lab.store.keep != "all" and lab.mixing.horizon is None:
            raise UserError(
                f"{type(lab.mixing).__name__} reads every earlier generation, and store.keep={lab.store.keep} drops "
                "them; give store.keep=all"
            )
        rows = lab.trainable
        real = lab.real.train.take(rows)
        eligible = lab.members_of(lab.prompts.retrain)[0][rows]
        key = stage_key("real", {"dataset": lab.dataset.key, "base": rows.tolist()})
        self._pool.append(Block(key, REAL, 0, real.labels, lambda: real, eligible))

    def steps(self) -> list[list[Step]]:
        """One list of steps (a step per model) for each generation.

        Raises:
            UserError: a mixing policy asks for rows that there are not.
        """
        generations: list[list[Step]] = []
        for generation in range(self._lab.generations + 1):
            before = generations[-1] if generations else []
            steps = [self._step(generation, number, before) for number in range(len(self._lab.models))]
            for number, step in enumerate(steps):
                self._admit(step, number)
            generations.append(steps)
        return generations

    def _step(self, generation: int, number: int, before: list[Step]) -> Step:
        lab, model = self._lab, self._lab.models[number]
        ids = self._draw(generation, number)
        warm = before[number].fit if before and lab.population.lineage == "previous" else None
        fit = self._fit(generation, model, ids, warm)
        samples = {
            name: self._sample(generation, model, fit, f"sample/{name}", self._asked(name, lab.sampled_by(generation)))
            for name in lab.prompts.sets
        }
        # The same latents and prompts in every generation, so that the eye sees the model drift and not the dice
        grids = {
            name: self._sample(generation, model, fit, f"grid/{name}", self._asked(name, GRID), seed_generation=0)
            for name in self._pictures
        }
        curated = self._work.curate(generation, model.name, samples[lab.prompts.retrain])
        return Step(generation, model.name, self._pool.counts(ids), fit, samples, grids, curated)

    def _draw(self, generation: int, number: int) -> np.ndarray:
        lab, name = self._lab, self._lab.models[number].name
        horizon = lab.mixing.horizon
        pool = self._pool.provenance(0 if horizon is None else generation - horizon)
        request = Request(
            generation=generation,
            sizes=lab.n_train,
            seeds=Seeds(lab.seed, generation, name, "mix"),
            originals=self._originals.get(name, np.zeros(0, np.int64)),
            exposure=lab.population.sources(number),
        )
        ids = lab.mixing.draw(pool, request)
        if len(ids) == 0:
            raise UserError(f"the training set of generation {generation} is empty; raise n_train")
        if generation == 0:
            self._originals[name] = ids
        return ids

    def _fit(self, generation: int, model: ModelPart, ids: np.ndarray, warm: Stage | None) -> Stage:
        lab = self._lab
        budget = lab.training.budget(warm is not None, len(ids), lab.device)
        seeds = Seeds(lab.seed, generation, model.name, "fit")
        fields = {
            "model": model.fit_identity,
            "steps": budget.steps,
            "batch_size": budget.batch_size,
            "precision": budget.precision,
            "gradient_clip": budget.gradient_clip,
            "rows": self._pool.digest(ids),
            "vocabulary": list(lab.dataset.spec.vocabulary),
            "seeds": seeds.path,
        }
        produce = self._work.fitting(model, budget, seeds, lambda: self._pool.view(ids), warm)
        parents = [self._sources[key] for key in self._pool.keys(ids) if key in self._sources]
        parents = [warm, *parents] if warm else parents
        return Stage(lab.store, "fit", fields, produce, parents, lab.store.commits(generation))

    def _sample(
        self,
        generation: int,
        model: ModelPart,
        fit: Stage,
        role: str,
        asked: Asked,
        seed_generation: int | None = None,
    ) -> Stage:
        place = generation if seed_generation is None else seed_generation
        seeds = Seeds(self._lab.seed, place, model.name, role)
        fields = {
            "sampling": model.sample_identity(generation),
            "conditions": asked.digest,
            "seeds": seeds.path,
        }
        produce = self._work.sampling(model, generation, fit, seeds, asked.what)
        return Stage(self._lab.store, "sample", fields, produce, [fit], self._lab.store.commits(generation))

    def _admit(self, step: Step, number: int) -> None:
        stage, n = step.curated, self._lab.sampled_by(step.generation)
        if n not in self._curated_labels:
            asked = self._asked(self._lab.prompts.retrain, n)
            self._curated_labels[n] = self._lab.curation.plan(asked.what).labels
        load = partial(_samples_of, stage)
        self._pool.append(Block(stage.key, number + 1, step.generation, self._curated_labels[n], load))
        self._sources[stage.key] = stage

    def _asked(self, subset: str, n: int) -> Asked:
        """The conditions of n samples, made once however many generations ask for them."""
        if (subset, n) not in self._conditions:
            conditions = self._lab.conditions(subset, n)
            if self._lab.dataset.spec.modality == "tokens" and conditions.context is None:
                raise UserError(
                    f"texts are continued, and the prompt set '{subset}' gives none to continue: give "
                    "prompts=continuation"
                )
            self._conditions[subset, n] = Asked(conditions, digest(conditions))
        return self._conditions[subset, n]


def _samples_of(stage: Stage) -> Samples:
    held = stage.held
    samples = unpack_samples(stage.value())
    if not held and stage.persist:
        stage.release()  # a policy that reads every generation would otherwise gather them all in memory
    return samples
