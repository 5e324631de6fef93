"""Everything that one run is made of, built and checked, before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from collapse_lab.engine.domains import owners_of
from collapse_lab.engine.finite import checked_data
from collapse_lab.engine.fitting import Training
from collapse_lab.engine.keys import Identity
from collapse_lab.engine.population import Population
from collapse_lab.engine.view import viewed
from collapse_lab.errors import UserError
from collapse_lab.seeds import Seeds
from collapse_lab.sizes import Sizes, size_at
from collapse_lab.storage.store import Store
from collapse_lab.types import (
    Checkpointing,
    Conditions,
    Curation,
    Dataset,
    Encoder,
    Executor,
    GenerativeModel,
    Metric,
    MixingPolicy,
    Probe,
    PromptSet,
    RealData,
    Rows,
    Samples,
    Spec,
)

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Component:
    """Hold how a configured object is built, and its identity.

    Attributes:
        build: makes the object; what the program supplies, such as a data set's spec, is given to it.
        identity: class, version and the arguments that differ from their defaults.
        provides: what features of an extractor hold beside their values (`predicted`, `texts`).
    """

    build: Callable[..., Any]
    identity: Identity
    provides: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ModelComponent:
    """Hold a generative family as configured for one member of the population.

    Attributes:
        name: the member.
        construct: makes a model of a spec; scheduled arguments are given to it by name.
        identities: the identity of the model of each generation; the last one holds on.
        sampling_only: arguments that act after training.
        schedules: argument -> a value per generation; the last one holds on.
        least_rows: the smallest training set that the family is fitted to.
        validates: whether a fit chooses its weights on validation rows.
        judged_in: the feature space in which a fit judges images that it samples; None where it samples none.
        distance: how far generated features (n, d) are from real ones (m, d), for such a fit.
        weighs: whether rows can be given weights.
        fresh_identity: the identity of the model of generation 0 without the arguments that act in a warm fit alone;
            None where there are no such arguments.
        encoder: encodes rows and prompts for the family; None where it trains on rows as they are.
    """

    name: str
    construct: Callable[..., Any]
    identities: Sequence[Identity]
    sampling_only: frozenset[str]
    schedules: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    least_rows: int = 1
    validates: bool = False
    weighs: bool = False
    fresh_identity: Identity | None = None
    encoder: Encoder | None = None
    judged_in: str | None = None
    distance: Callable[[Tensor, Tensor], float] | None = None

    def build(self, spec: Spec, generation: int) -> GenerativeModel:
        """Return the model of one generation, before it is fitted or loaded."""
        scheduled = {name: values[min(generation, len(values) - 1)] for name, values in self.schedules.items()}
        model: GenerativeModel = self.construct(spec, **scheduled)
        return model

    @cached_property
    def fit_identity(self) -> Identity:
        """Return what a warm fit depends on: all arguments but those that act after training."""
        return self._trained_by(self.identities[0])

    @cached_property
    def fresh_fit_identity(self) -> Identity:
        """Return what a fit from fresh weights depends on: less too what acts in a warm fit alone."""
        return self._trained_by(self.fresh_identity or self.identities[0])

    def _trained_by(self, identity: Identity) -> Identity:
        arguments = {k: v for k, v in identity["arguments"].items() if k not in self.sampling_only}
        return {**identity, "arguments": arguments}

    def sampling_arguments(self, generation: int) -> dict[str, Any]:
        """Return what sampling depends on besides the fit: argument -> value, less the defaults."""
        identity = self.identities[min(generation, len(self.identities) - 1)]
        return {k: v for k, v in identity["arguments"].items() if k in self.sampling_only}


@dataclass(frozen=True)
class PromptSets:
    """Hold the prompt sets of a run.

    Attributes:
        sets: the prompt sets by name.
        retrain: the set that generations after 0 are trained on, and whose samples enter the pool.
        base: the set that generation 0 is trained on; None means every real row. Rows outside it are never trained
            on, so that prompts can be held out for good.
    """

    sets: Mapping[str, PromptSet]
    retrain: str
    base: str | None = None


@dataclass(frozen=True)
class Lab:
    """Hold the composed experiment.

    Attributes:
        generations: retrainings after generation 0.
        n_train: rows of the training set of each generation.
        n_samples: what the model of the generation before samples for it. Where there are metrics of feature spaces,
            this is the same number in every generation.
        executor: how fits and samplings are executed.
    """

    seed: int
    generations: int
    n_train: Sizes
    n_samples: Sizes
    device: str
    dataset: Dataset
    models: list[ModelComponent]
    population: Population
    mixing: MixingPolicy
    curation: Curation
    curation_identity: Identity
    prompts: PromptSets
    extractors: Mapping[str, Component]
    metrics: Mapping[str, tuple[Metric, Identity]]
    probes: Mapping[str, tuple[Probe, Identity]]
    training: Training
    store: Store
    executor: Executor

    @cached_property
    def real(self) -> RealData[Rows]:
        """Return the real rows as views, opened when they are first needed.

        Raises:
            UserError: a row holds NaN or infinity.
        """
        opened: Callable[[], RealData[Rows]] = getattr(self.dataset, "open", self.dataset.load)
        return checked_data(opened(), type(self.dataset).__name__).map(viewed)

    @property
    def skipped(self) -> Sequence[str]:
        """Return the pictures of the data set that were left out because they cannot be read, each with the reason."""
        opened = self.real  # because the data set knows them once it was read
        del opened
        skipped: Sequence[str] = getattr(self.dataset, "skipped", ())
        return skipped

    @cached_property
    def validation(self) -> Samples:
        """Return the validation rows.

        Raises:
            UserError: the data set has none.
        """
        rows = self.real.validation
        if rows is None:
            raise UserError(
                "model.selection chooses weights on validation rows, and the data set has none; give "
                "dataset.validation_fraction=0.1, or model.selection=last (of a diffusion model "
                "model.selection.every=null)"
            )
        return rows.gathered()

    @cached_property
    def trainable(self) -> np.ndarray:
        """Return the numbers of the train rows that may be trained on at all."""
        if self.prompts.base is None:
            return np.arange(len(self.real.train))
        return np.flatnonzero(self.members_of(self.prompts.base)[0])

    def fresh(self, component: ModelComponent, seeds: Seeds) -> GenerativeModel:
        """Return the model of a fit as it is before the fit: with pretrained weights, or with random ones."""
        with seeds.child("init").scoped():
            return component.build(self.dataset.spec, seeds.generation)

    def checkpoint(self, kind: str, key: str) -> Checkpointing | None:
        """Return where and how often the fit of a stage is checkpointed, None where it is not."""
        minutes = self.training.checkpoint_minutes
        return None if minutes is None else Checkpointing(self.store.checkpoint(kind, key), key, minutes)

    def model(self, member: str) -> ModelComponent:
        """Return the family and the arguments of a member."""
        return next(model for model in self.models if model.name == member)

    def generated_by(self, member: str) -> str:
        """Return the prompt set whose samples of a member enter the pool."""
        return self.population.generates.get(member, self.prompts.retrain)

    def sampled_sets(self, member: str) -> list[str]:
        """Return the prompt sets that a member samples: all, or the one of the pool where nothing reads the others."""
        probes = [probe for probe, _ in self.probes.values()]
        unread = probes and not self.extractors and not any(getattr(probe, "reads_samples", True) for probe in probes)
        if unread and self.dataset.spec.modality == "points":
            return [self.generated_by(member)]
        return list(self.prompts.sets)

    @cached_property
    def owners(self) -> np.ndarray | None:
        """Return the owner of each train row (`engine.domains`); None where no member has rows of its own."""
        masks = {name: self.members_of(name)[0] for name in self.population.domains}
        return owners_of(self.population, masks, len(self.real.train))

    def sampled_by(self, generation: int) -> int:
        """Return how many samples a generation makes for each prompt set, which the next one may train on."""
        return size_at(self.n_samples, generation + 1)

    def conditions(self, subset: str, n: int) -> Conditions:
        """Return n conditions of one prompt set, made once for the whole run."""
        if (subset, n) not in self._conditions:
            made = self.prompts.sets[subset].conditions(n, self.real.train, self.dataset.spec)
            self._conditions[subset, n] = made
        return self._conditions[subset, n]

    def drifts(self, subset: str) -> bool:
        """Return whether samples of a prompt set are compared with those of generation 0, for want of real rows.

        The sets that models are trained on are compared with the real rows that they are trained on.
        """
        return subset in self._drifting

    @cached_property
    def _drifting(self) -> frozenset[str]:
        trained = {self.prompts.retrain, self.prompts.base, *self.population.generates.values()}
        asks = {name: getattr(prompts, "has_reference", None) for name, prompts in self.prompts.sets.items()}
        return frozenset(
            name for name, ask in asks.items() if ask is not None and name not in trained and not ask(self.real)
        )

    @cached_property
    def _conditions(self) -> dict[tuple[str, int], Conditions]:
        return {}

    def members_of(self, subset: str) -> tuple[np.ndarray, np.ndarray]:
        """Return masks of the train and of the reference rows that belong to one prompt set."""
        if subset not in self._masks:
            prompts = self.prompts.sets[subset]
            self._masks[subset] = prompts.member(self.real.train), prompts.member(self.real.reference)
        return self._masks[subset]

    @cached_property
    def _masks(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        return {}
