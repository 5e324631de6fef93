"""The graph of a run: for every generation, what is trained on which rows and sampled for which prompts.

Nothing here computes. Laying the graph out draws every training set from provenance alone, so that a run which needs
rows that do not exist is refused before it starts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from collapse_lab.engine.checks import CONDITION, STORED
from collapse_lab.engine.domains import NOBODY, PUBLIC
from collapse_lab.engine.draws import check_draw, weights_of
from collapse_lab.engine.keys import FitKey, RealKey, SampleKey, digest_of_array, digest_of_conditions
from collapse_lab.engine.lab import Lab, ModelComponent
from collapse_lab.engine.oversampling import enlarged, from_row
from collapse_lab.engine.payloads import rows_of
from collapse_lab.engine.pool import Block, Pool, PromptNumbers
from collapse_lab.engine.stages import Stage
from collapse_lab.engine.work import Work
from collapse_lab.errors import UserError
from collapse_lab.memory import require
from collapse_lab.seeds import Seeds
from collapse_lab.sizes import STEP
from collapse_lab.types import REAL, UNBORN, Conditions, DrawRequest, Rows, Samples

GRID = 50  # images of a grid
ROW = 8  # bytes of a row's number


@dataclass(frozen=True)
class Step:
    """Hold the stages of one model in one generation.

    Attributes:
        generation: 0 or more.
        model: the name of the member.
        counts: real and synthetic rows that the model is trained on, and those of each source (`Pool.counts`).
        fit: the stage of its weights.
        samples: prompt set -> the stage of its samples.
        grids: prompt set -> the stage of the images of a grid; of pictures alone.
        curated: the stage of the samples that enter the pool.
        more: the stage of the samples that curation needs beside those of the retrained prompts, so that as many are
            left; none where it needs no more.
        again: prompt set -> the stage of a second draw of the member's first generation, where its later ones are
            compared with the first one.
        encodings: the stages of what an encoder makes of the curated samples; none before a later generation trains on
            them, or where the family has no encoder.
    """

    generation: int
    model: str
    counts: Mapping[str, int]
    fit: Stage
    samples: Mapping[str, Stage]
    grids: Mapping[str, Stage]
    curated: Stage
    more: Sequence[Stage] = ()
    again: Mapping[str, Stage] = field(default_factory=dict)
    encodings: Sequence[Stage] = ()

    @property
    def computed(self) -> list[Stage]:
        """Return the stages of the fit and of all samples, in the order in which they are computed."""
        return [self.fit, *self.samples.values(), *self.grids.values(), *self.more, *self.again.values()]

    @property
    def stages(self) -> list[Stage]:
        """Return every stage of the step, in the order in which they are computed."""
        curated = [] if self.curated in self.samples.values() else [self.curated]
        return [*self.computed, *curated, *self.encodings]

    @property
    def keys(self) -> dict[str, Any]:
        """Return the keys of the fit and of the samples by prompt set, as a line of the ledger holds them."""
        return {"fit": self.fit.key, "sample": {name: stage.key for name, stage in self.samples.items()}}


Generations = list[list[Step]]  # a list of steps, one a model, for each generation


class Planner:
    """Lay out the steps of a run, generation by generation.

    Raises:
        UserError: the store drops generations that the mixing policy reads.
    """

    def __init__(self, lab: Lab, work: Work) -> None:
        self._lab, self._work, self._pool = lab, work, Pool()
        self._conditions: dict[tuple[str, int], tuple[Conditions, str]] = {}
        self._numbers = PromptNumbers()
        self._more: dict[tuple[str, int], tuple[Conditions, str]] = {}
        self._curated: dict[
            tuple[str, int], tuple[np.ndarray, np.ndarray]
        ] = {}  # labels and prompts of curated samples
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
        owners = None if lab.owners is None else lab.owners[rows]
        if owners is not None:  # because a prompt set that has an owner is trained on, whatever is retrained
            eligible = eligible | (owners > PUBLIC if lab.population.public is None else owners != NOBODY)
        prompts = self._numbers.of(real.labels, real.captions)
        key = RealKey(lab.dataset.key, tuple(rows.tolist())).digest()
        self._pool.append(Block(key, REAL, UNBORN, real.labels, lambda: real, eligible, prompts, owners))

    def steps(self) -> Generations:
        """Return one list of steps (a step per model) for each generation.

        Raises:
            UserError: a mixing policy asks for rows that do not exist, or the plan does not fit into the memory.
        """
        lab = self._lab
        generations: Generations = []
        held = 0
        for generation in range(lab.generations + 1):
            there = [k for k in range(len(lab.models)) if lab.population.is_present(k, generation)]
            if not there:
                raise UserError(
                    f"no member is there in generation {generation} (population.present), and the run has "
                    f"generations={lab.generations}; lower generations, or let a member stay"
                )
            steps = [self._step(generation, number, self._base(generations, number)) for number in there]
            for number, step in zip(there, steps, strict=True):
                self._admit(step, number)
            generations.append(steps)
            # Training sets stay as large, or grow: what this generation takes, the later ones take too
            size = sum(STEP + ROW * (step.counts["real"] + step.counts["synthetic"]) for step in steps)
            held += size
            later = lab.generations - generation
            require(held + later * size, f"the plan of generations={lab.generations}", "lower generations")
        encoded = self._work.encodings.of_samples
        return [[replace(step, encodings=encoded(step.curated.key)) for step in steps] for steps in generations]

    @cached_property
    def _validation(self) -> str:
        """Return the digest of the validation rows, which are the same in every generation."""
        return digest_of_array(self._lab.validation.data.numpy())

    @cached_property
    def _drifting(self) -> list[str]:
        """Return the prompt sets with a floor between two draws of generation 0."""
        lab = self._lab
        floored = any(metric.floored and metric.against == "reference" for metric, _ in lab.metrics.values())
        return [name for name in lab.prompts.sets if lab.extractors and floored and lab.drifts(name)]

    def _base(self, past: Generations, number: int) -> Step | None:
        """Return the step whose weights a member starts from; None where it starts from others, and at first."""
        population, name = self._lab.population, self._lab.models[number].name
        first = population.first_generation(number)
        place = {"previous": len(past) - 1, "first": first}.get(population.lineages[name])
        return None if place is None or len(past) <= first else step_of(past, place, name)

    def _step(self, generation: int, number: int, base: Step | None) -> Step:
        lab, model = self._lab, self._lab.models[number]
        is_first = generation == lab.population.first_generation(number)
        ids, weights = self._draw(generation, number, is_first)
        fit = self._fit(generation, model, ids, None if base is None else base.fit, weights)
        n = lab.sampled_by(generation)
        samples = {
            name: self._sample(generation, generation, model, fit, f"sample/{name}", self._conditions_of(name, n))
            for name in lab.sampled_sets(model.name)
        }
        # Because grids have the same latents and prompts in every generation, a change in them is the model's
        grids = {
            name: self._sample(generation, 0, model, fit, f"grid/{name}", self._conditions_of(name, GRID))
            for name in self._pictures
        }
        retrained = lab.generated_by(model.name)
        more, digest = self._more_than(retrained, n)
        place = f"sample/{retrained}/more"
        beside = [self._sample(generation, generation, model, fit, place, (more, digest))] if len(more) else []
        curated = self._work.curate(generation, model.name, [samples[retrained], *beside])
        again = {
            name: self._sample(generation, generation, model, fit, f"sample/{name}/again", self._conditions_of(name, n))
            for name in (self._drifting if is_first else ())
        }
        counts = self._pool.counts(ids, lab.population.teachers(number))
        return Step(generation, model.name, counts, fit, samples, grids, curated, beside, again)

    def _draw(self, generation: int, number: int, is_first: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the rows of a training set, and their weights where they count unequally.

        The first training set of a member is drawn as that of generation 0 is.
        """
        lab, name = self._lab, self._lab.models[number].name
        horizon = lab.mixing.horizon
        pool = self._pool.provenance(0 if horizon is None else generation - horizon)
        if lab.owners is not None:
            pool = pool.where(np.isin(pool.owner, [PUBLIC, number + 1]))  # because others' private rows are not its own
        request = DrawRequest(
            generation=0 if is_first else generation,
            sizes=lab.n_train,
            seeds=Seeds(lab.seed, generation, name, "mix"),
            originals=self._originals.get(name, np.zeros(0, np.int64)),
            exposure=lab.population.sources(number, generation),
            member=number + 1,
        )
        ids = np.asarray(lab.mixing.draw(pool, request))
        check_draw(ids, pool, request.generation, lab.mixing)
        if is_first:
            self._originals[name] = ids
        return ids, weights_of(ids, pool, request, lab.mixing)

    def _fit(
        self,
        generation: int,
        model: ModelComponent,
        ids: np.ndarray,
        warm: Stage | None,
        weights: np.ndarray | None,
    ) -> Stage:
        lab = self._lab
        if weights is not None and not model.weighs:
            raise UserError(
                f"{type(lab.mixing).__name__} gives rows of generation {generation} unequal weights, and the family of "
                f"'{model.name}' cannot weigh rows; give mixing.by=rows, or a family that can: a network, or "
                "model=linear_regression"
            )
        if len(ids) < model.least_rows:
            raise UserError(
                f"generation {generation} of '{model.name}' would be fitted to {len(ids)} rows, and its family takes "
                f"{model.least_rows} or more; raise n_train"
            )
        budget = lab.training.budget(warm is not None, len(ids), lab.device)
        seeds = Seeds(lab.seed, generation, model.name, "fit")
        key = FitKey(
            model=model.fit_identity if warm else model.fresh_fit_identity,
            steps=budget.steps,
            batch_size=budget.batch_size,
            rows=self._pool.digest(ids),
            seeds=tuple(seeds.path),
            precision=budget.precision,
            gradient_clip=budget.gradient_clip,
            vocabulary=lab.dataset.spec.vocabulary,
            validation=self._validation if model.validates else "",
            arithmetic=budget.arithmetic,
            row_weights="" if weights is None else digest_of_array(weights),
            accumulate=budget.accumulate,
            devices=budget.devices,
            judge=self._work.judges.digest(model, generation),
        )
        encoded = self._work.encodings.training_set(model, generation, self._pool, ids, self._sources)

        def view() -> Samples[Rows]:
            rows = self._pool.view(ids)
            return rows if encoded is None else replace(rows, encoded=encoded.gather())

        produce = self._work.fitting(model, budget, seeds, view, warm, weights)
        parents = [self._sources[source] for source in self._pool.keys(ids) if source in self._sources]
        parents = [*([warm] if warm else []), *parents, *self._work.judges.parents(model)]
        derived = () if encoded is None else encoded.stages
        return Stage(lab.store, key, produce, parents, lab.store.commits(generation), keyed=True, derived=derived)

    def _sample(
        self,
        generation: int,
        place: int,
        model: ModelComponent,
        fit: Stage,
        role: str,
        wanted: tuple[Conditions, str],
    ) -> Stage:
        """Return the stage of the samples for some conditions with their digest, seeded by the generation `place`."""
        conditions, digest = wanted
        seeds = Seeds(self._lab.seed, place, model.name, role)
        key = SampleKey(model.sampling_arguments(generation), digest, tuple(seeds.path))
        produce = self._work.sampling(model, generation, fit, seeds, conditions)
        states = self._work.encodings.prompts(model, generation, conditions.captions.table)
        return Stage(self._lab.store, key, produce, [fit], self._lab.store.commits(generation), derived=states)

    def _admit(self, step: Step, number: int) -> None:
        """Append what a step samples to the pool."""
        stage, place = step.curated, (self._lab.generated_by(step.model), self._lab.sampled_by(step.generation))
        if place not in self._curated:
            wanted, _ = self._conditions_of(*place)
            conditions = self._lab.curation.plan(enlarged(self._lab.curation, wanted))
            self._curated[place] = conditions.labels, self._numbers.of(conditions.labels, conditions.captions)
        labels, prompts = self._curated[place]
        load = partial(_rows_of, stage)
        self._pool.append(Block(stage.key, number + 1, step.generation, labels, load, prompts=prompts))
        self._sources[stage.key] = stage

    def _more_than(self, subset: str, n: int) -> tuple[Conditions, str]:
        """Return the conditions that curation needs beside n of a prompt set that enters the pool, and their digest."""
        if (subset, n) not in self._more:
            wanted, _ = self._conditions_of(subset, n)
            more, spec = from_row(enlarged(self._lab.curation, wanted), n), self._lab.dataset.spec
            size = math.prod(spec.shape) * STORED[spec.modality] + CONDITION
            require(len(more) * size, f"the {len(more)} samples that curation drops", "lower curation.fraction")
            self._more[subset, n] = more, digest_of_conditions(more)
        return self._more[subset, n]

    def _conditions_of(self, subset: str, n: int) -> tuple[Conditions, str]:
        """Return n conditions and their digest, made once for all generations."""
        if (subset, n) not in self._conditions:
            conditions = self._lab.conditions(subset, n)
            if self._lab.dataset.spec.modality == "tokens" and conditions.context is None:
                raise UserError(
                    f"texts are continued, and the prompt set '{subset}' gives none to continue: give "
                    "prompts=continuation"
                )
            self._conditions[subset, n] = conditions, digest_of_conditions(conditions)
        return self._conditions[subset, n]


def step_of(plan: Sequence[Sequence[Step]], generation: int, name: str) -> Step | None:
    """Return the step of one member in one generation; None where the member is not there."""
    return next((step for step in plan[generation] if step.model == name), None)


def _rows_of(stage: Stage) -> Samples[Rows]:
    held = stage.held
    samples = rows_of(stage.value())
    if not held and stage.persist:
        stage.release()  # because a policy that reads every generation would otherwise gather them all in memory
    return samples
