"""A family that fits in microseconds, and whole runs of it through the real planner, loop, ruler, store and ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from collapse_lab.config.schema import bind
from collapse_lab.curation.none import Nothing
from collapse_lab.datasets.digits import Digits
from collapse_lab.engine.extractors import Extractors
from collapse_lab.engine.fitting import Training
from collapse_lab.engine.lab import Lab, ModelPart, Part, Prompts
from collapse_lab.engine.loop import Loop
from collapse_lab.engine.plan import Planner, Step
from collapse_lab.engine.population import Population
from collapse_lab.engine.ruler import Ruler
from collapse_lab.engine.work import Work
from collapse_lab.errors import Diverged
from collapse_lab.features.pixels import Pixels
from collapse_lab.images import as_float, as_uint8
from collapse_lab.metrics.fid import FID
from collapse_lab.mixing.base import Policy
from collapse_lab.mixing.contaminate import Contaminate
from collapse_lab.prompts import Everything, Labels
from collapse_lab.seeds import Seeds
from collapse_lab.sinks.silent import Silent
from collapse_lab.sizes import Sizes
from collapse_lab.storage.ledger import Ledger
from collapse_lab.storage.store import Store
from collapse_lab.types import Budget, Conditions, Progress, Record, Samples, Spec, Weights

DIGITS = Digits(reference_fraction=0.3, templates=["a handwritten {}"])
BLACK = 0  # no digit reaches into its top left corner, so that pixel is free to carry a mark


class Gaussian:
    """Independent pixels: mean and spread of a random half of the rows.

    mark: grey level of the top left pixel of its samples, by which a training set tells who made its rows.
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


def part(target: type, **arguments: Any) -> Part:
    """As build.py makes it, without hydra."""
    name = f"{target.__module__}.{target.__qualname__}"
    identity = bind({"_target_": name, "_partial_": True, **arguments}, "here")
    return Part(lambda spec, **changes: target(spec, **{**arguments, **changes}), identity)


class StopAt(Silent):
    """A user who presses Ctrl-C at the start of some phase of some generation."""

    def __init__(self, generation: int, phase: str) -> None:
        self._where = (generation, phase)

    def start(self, generation: int, model: str, phase: str, total: int) -> None:
        if (generation, phase) == self._where:
            raise KeyboardInterrupt


@dataclass
class Chain:
    """A run in `folder`; every `run` is a new process as far as the objects go."""

    folder: Path
    mixing: Policy = field(default_factory=lambda: Contaminate(0.5))
    members: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"model": {}})
    schedules: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    exposure: Sequence[Sequence[float]] | None = None
    lineage: Any = "previous"
    generations: int = 3
    keep: Any = "all"
    every: int = 1
    seed: int = 0
    retrain: Sequence[int | str] | None = None
    n: Sizes = 40

    @property
    def store(self) -> Store:
        return Store(self.folder / "store", self.keep, self.every)

    def lab(self) -> Lab:
        sets = {"all": Everything()}
        chosen = sets if self.retrain is None else {"seen": Labels(self.retrain).bind(DIGITS.spec), **sets}
        return Lab(
            seed=self.seed,
            generations=self.generations,
            n_train=self.n,
            n_samples=self.n,
            device="cpu",
            dataset=DIGITS,
            models=[
                ModelPart(name, part(Gaussian, **changes), Gaussian.sampling_only, self.schedules)
                for name, changes in self.members.items()
            ],
            population=Population(self.lineage, self.members, self.exposure),
            mixing=self.mixing,
            curation=Nothing(),
            curation_identity=bind({"_target_": f"{Nothing.__module__}.Nothing"}, "curation"),
            prompts=Prompts(chosen, next(iter(chosen))),
            extractors={"pixels": part(Pixels, size=2)},
            metrics={"fid": (FID(bootstrap=5), bind({"_target_": f"{FID.__module__}.FID", "bootstrap": 5}, "fid"))},
            probes={},
            training=Training(steps=1, batch_size=1),
            store=self.store,
        )

    def plan(self) -> list[list[Step]]:
        lab = self.lab()
        return Planner(lab, Work(lab, Extractors(lab, Silent()), Silent())).steps()

    def run(self, progress: Progress | None = None) -> str:
        lab, progress = self.lab(), progress or Silent()
        extractors = Extractors(lab, progress)
        work = Work(lab, extractors, progress)
        plan = Planner(lab, work).steps()
        lab.store.open()
        return Loop(lab, work, Ruler(lab, extractors), self.ledger, [], self.folder).run(plan)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.folder / "ledger.jsonl")

    @property
    def records(self) -> list[Record]:
        """The ledger without what the clock says."""
        return [replace(record, seconds={}) for record in self.ledger.records()]

    def weights(self, generation: int, model: str = "model") -> Weights:
        record = next(r for r in self.records if (r.generation, r.model) == (generation, model))
        found = self.store.read("fit", record.keys["fit"])
        assert found is not None
        return found.tensors

    def trained_on(self, generation: int, model: str = "model") -> dict[int, int]:
        """How many rows of each mark the fit saw."""
        marks = self.weights(generation, model)["marks"].numpy().astype(int)
        return {int(mark): int(marks[mark]) for mark in np.flatnonzero(marks)}

    def stored(self, kind: str) -> set[str]:
        """Keys of the committed stages of one kind."""
        return {path.parent.name for path in (self.folder / "store" / kind).glob("*/*/manifest.json")}
