"""Provide a family that fits in microseconds, and whole runs of it through planner, loop, ruler, store and ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from collapse_lab.config.binding import bind
from collapse_lab.config.signature import SPEC, bind_model
from collapse_lab.curation.none import Nothing
from collapse_lab.datasets.digits import Digits
from collapse_lab.engine.executor import Alone
from collapse_lab.engine.extractors import Extractors
from collapse_lab.engine.fitting import Training
from collapse_lab.engine.lab import Component, Lab, ModelComponent, PromptSets
from collapse_lab.engine.loop import Loop
from collapse_lab.engine.plan import Generations, Planner
from collapse_lab.engine.population import Population
from collapse_lab.engine.run import Layout, lay_out
from collapse_lab.engine.silent import Silent
from collapse_lab.engine.work import Work
from collapse_lab.errors import Diverged
from collapse_lab.features.pixels import Pixels
from collapse_lab.images import as_float, as_uint8
from collapse_lab.metrics.fid import FID
from collapse_lab.mixing.base import Policy
from collapse_lab.mixing.contaminate import Contaminate
from collapse_lab.prompts import Everything, Labels
from collapse_lab.seeds import Seeds
from collapse_lab.sizes import SCHEDULE, Sizes
from collapse_lab.storage.ledger import Ledger
from collapse_lab.storage.store import Store
from collapse_lab.types import Budget, Conditions, Executor, Progress, Record, Samples, Spec, Weights

DIGITS = Digits(reference_fraction=0.3, templates=["a handwritten {}"])
BLACK = 0  # no digit reaches into its top left corner, so that pixel is free to carry a mark


class Gaussian:
    """Model pixels as independent: the mean and the spread of a random half of the rows.

    Args:
        spec: what the data set promises.
        mark: grey level of the top left pixel of its samples, by which a training set tells which model made its rows.
        spread: what the standard deviation is multiplied by when the model is sampled.
        diverge_at: the generation whose fit fails.
    """

    version: ClassVar[int] = 1
    sampling_only: ClassVar[frozenset[str]] = frozenset({"spread"})

    def __init__(self, spec: Spec, *, mark: int = 7, spread: float = 0.9, diverge_at: int | None = None) -> None:
        self.spec, self.mark, self.spread, self.diverge_at = spec, mark, spread, diverge_at
        zeros = torch.zeros(spec.shape)
        self._state = {"mean": zeros, "std": zeros, "fits": torch.zeros(1), "marks": torch.zeros(256)}

    def fit(self, data: Samples, budget: Budget, seeds: Seeds, progress: Progress) -> None:
        progress.advance(budget.steps)
        if seeds.generation == self.diverge_at:
            raise Diverged("as it was told to")
        half = torch.randperm(len(data), generator=seeds.torch())[: 1 + len(data) // 2]
        x = as_float(data.data[half])
        marks = torch.bincount(data.data[:, 0, 0, 0].long(), minlength=256)
        state = {"mean": x.mean(0), "std": x.std(0, correction=0), "marks": marks.float()}
        self._state = {**state, "fits": self._state["fits"] + 1}

    def sample(self, conditions: Conditions, seeds: Seeds, progress: Progress) -> Samples:
        noise = torch.randn(len(conditions), *self.spec.shape, generator=seeds.torch())
        data = as_uint8(self._state["mean"] + self.spread * self._state["std"] * noise)
        data[:, :, 0, 0] = self.mark
        progress.advance(self.sampling_steps(len(conditions)))
        return Samples(data, conditions.labels, conditions.captions)

    def sampling_steps(self, n: int) -> int:
        return n

    def weights(self) -> Weights:
        return dict(self._state)

    def load(self, weights: Weights) -> None:
        self._state = dict(weights)

    def to(self, device: str, /) -> object:
        return self


def component_of(target: type, **arguments: Any) -> Component:
    """Return a component of a class that takes a data set's spec, with its real identity and without Hydra."""
    identity = bind({"_target_": path_of(target), **arguments}, "component", SPEC)
    return Component(lambda spec: target(spec, **arguments), identity)


def member_of(name: str, changes: Mapping[str, Any], schedules: Mapping[str, Sequence[Any]]) -> ModelComponent:
    """Return a member of a population of `Gaussian` models, with its real identities."""
    scheduled = {argument: {SCHEDULE: list(values)} for argument, values in schedules.items()}
    identities, values = bind_model({"_target_": path_of(Gaussian), **changes, **scheduled}, name)

    def construct(spec: Spec, **at_generation: Any) -> Gaussian:
        return Gaussian(spec, **{**changes, **at_generation})

    return ModelComponent(name, construct, identities, Gaussian.sampling_only, values)


def path_of(target: type) -> str:
    """Return the `_target_` of a class."""
    return f"{target.__module__}.{target.__qualname__}"


class StopAt(Silent):
    """Press Ctrl-C at the start of one phase of one generation."""

    def __init__(self, generation: int, phase: str) -> None:
        self._where = (generation, phase)

    def start(self, generation: int, model: str, phase: str, total: int) -> None:
        if (generation, phase) == self._where:
            raise KeyboardInterrupt


@dataclass
class Chain:
    """Represent a run in `folder`. Every call of `run` makes all objects anew, as a new process does."""

    folder: Path
    mixing: Policy = field(default_factory=lambda: Contaminate(0.5))
    members: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"model": {}})
    schedules: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    exposure: Any = None
    private: Mapping[str, str] | None = None
    public: str | None = None
    generates: Mapping[str, str] | None = None
    present: Mapping[str, Sequence[int | None]] | None = None
    sets: Mapping[str, Sequence[int | str]] = field(default_factory=dict)
    lineage: Any = "previous"
    generations: int = 3
    keep: Any = "all"
    every: int = 1
    seed: int = 0
    retrain: Sequence[int | str] | None = None
    n: Sizes = 40
    executor: Executor = field(default_factory=Alone)

    @property
    def store(self) -> Store:
        return Store(self.folder / "store", self.executor, self.keep, self.every)

    def lab(self) -> Lab:
        sets: dict[str, Any] = {"all": Everything()}
        sets |= {name: Labels(labels).bind(DIGITS.spec) for name, labels in self.sets.items()}
        chosen = sets if self.retrain is None else {"seen": Labels(self.retrain).bind(DIGITS.spec), **sets}
        return Lab(
            seed=self.seed,
            generations=self.generations,
            n_train=self.n,
            n_samples=self.n,
            device="cpu",
            dataset=DIGITS,
            models=[member_of(name, changes, self.schedules) for name, changes in self.members.items()],
            population=Population(
                self.lineage, self.members, self.exposure, self.private, self.public, self.generates, self.present
            ),
            mixing=self.mixing,
            curation=Nothing(),
            curation_identity=bind({"_target_": path_of(Nothing)}, "curation"),
            prompts=PromptSets(chosen, next(iter(chosen))),
            extractors={"pixels": component_of(Pixels, size=2)},
            metrics={"fid": (FID(bootstrap=5), bind({"_target_": path_of(FID), "bootstrap": 5}, "fid"))},
            probes={},
            training=Training(steps=1, batch_size=1),
            store=self.store,
            executor=self.executor,
        )

    def layout(self, progress: Progress | None = None) -> Layout:
        return lay_out(self.lab(), progress or Silent())

    def plan(self) -> Generations:
        """Return the plan without a ruler, because metrics of features refuse sizes that follow a schedule."""
        lab = self.lab()
        return Planner(lab, Work(lab, Extractors(lab, Silent()), Silent())).steps()

    def run(self, progress: Progress | None = None) -> str:
        layout = self.layout(progress)
        layout.lab.store.open()
        return Loop(layout.lab, layout.work, layout.ruler, self.ledger, [], self.folder).run(layout.plan)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.folder / "ledger.jsonl")

    @property
    def records(self) -> list[Record]:
        """Return the ledger without its seconds."""
        return [replace(record, seconds={}) for record in self.ledger.records()]

    def weights(self, generation: int, model: str = "model") -> Weights:
        record = next(r for r in self.records if (r.generation, r.model) == (generation, model))
        payload = self.store.read("fit", record.keys["fit"])
        assert payload is not None
        return payload.tensors

    def trained_on(self, generation: int, model: str = "model") -> dict[int, int]:
        """Return how many rows of each mark the fit saw."""
        marks = self.weights(generation, model)["marks"].numpy().astype(int)
        return {int(mark): int(marks[mark]) for mark in np.flatnonzero(marks)}

    def stored(self, kind: str) -> set[str]:
        """Return the keys of the committed stages of one kind."""
        return {path.parent.name for path in (self.folder / "store" / kind).glob("*/*/manifest.json")}
