"""The loop: mix, fit, sample, measure, record, generation after generation, for one model or many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from collapse_lab.engine.lab import Lab
from collapse_lab.engine.plan import Step
from collapse_lab.engine.ruler import Ruler
from collapse_lab.engine.work import Work, unpack_samples
from collapse_lab.errors import Diverged
from collapse_lab.images import grid
from collapse_lab.storage.ledger import Ledger
from collapse_lab.types import GenerativeModel, Record, Sink


@dataclass(frozen=True)
class Loop:
    """Walks a planned run. Whatever the ledger already holds is not computed, nor even read, again."""

    lab: Lab
    work: Work
    ruler: Ruler
    ledger: Ledger
    sinks: Sequence[Sink]
    folder: Path

    def run(self, plan: Sequence[Sequence[Step]]) -> Literal["ok", "diverged"]:
        """The status of the chain: a model that diverges ends it, with all that came before kept."""
        recorded = {(record.generation, record.model): record for record in self.ledger.records()}
        self.ruler.prepare()
        try:
            return self._walk(plan, recorded)
        finally:
            self.ledger.sync()

    def _walk(
        self, plan: Sequence[Sequence[Step]], recorded: Mapping[tuple[int, str], Record]
    ) -> Literal["ok", "diverged"]:
        for generation, steps in enumerate(plan):
            for step in steps:
                first = next(each for each in plan[0] if each.model == step.model)
                record = recorded.get((generation, step.model)) or self._advance(step, first)
                if record.status == "diverged":
                    return "diverged"
            self._tidy(plan, generation)
        return "ok"

    def _advance(self, step: Step, first: Step) -> Record:
        try:
            record = self._measured(step, first)
        except Diverged:
            record = self._record(step, {}, {}, 0.0, "diverged")
        else:
            self._draw_grids(step)
        # Where a power cut would cost the generations since the last commit anyway, it may cost their lines too
        self.ledger.append(record, durable=self.lab.store.commits(step.generation))
        for sink in self.sinks:
            sink.record(record)
        return record

    def _measured(self, step: Step, first: Step) -> Record:
        for stage in [step.fit, *step.samples.values(), *step.grids.values()]:
            if "diverged" in stage.value().meta:
                raise Diverged(stage.value().meta["diverged"])
        reading = self.ruler.measure(step, self._look, first)
        return self._record(step, reading.metrics, reading.features, reading.seconds, "ok")

    def _look(self, step: Step) -> GenerativeModel:
        return self.work.fitted(step.model, step.fit, step.generation)

    @staticmethod
    def _record(
        step: Step,
        metrics: dict[str, float],
        features: dict[str, dict[str, object]],
        measuring: float,
        status: Literal["ok", "diverged"],
    ) -> Record:
        seconds = {
            "fit": step.fit.value().seconds,
            "sample": sum(s.value().seconds for s in step.samples.values()) if status == "ok" else 0.0,
            "measure": measuring,
        }
        keys = {"fit": step.fit.key, "sample": {name: stage.key for name, stage in step.samples.items()}}
        return Record(step.generation, step.model, dict(step.counts), metrics, seconds, status, keys, features)

    def _draw_grids(self, step: Step) -> None:
        for subset, stage in step.grids.items():
            path = self.folder / "grids" / subset / f"{step.model}-g{step.generation:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            samples = unpack_samples(stage.value())
            grid(samples.data, columns=10).save(path)
            for sink in self.sinks:
                sink.grid(step.generation, step.model, subset, path)

    def _tidy(self, plan: Sequence[Sequence[Step]], generation: int) -> None:
        """Lets go of what no later generation reads: from memory always, from disk as `store.keep` says."""
        store, horizon = self.lab.store, self.lab.mixing.horizon
        for step in plan[max(0, generation - (horizon or 1))]:
            for stage in step.stages:
                stage.release()
        if store.keep == "all" or horizon is None:
            return
        past = generation - max(horizon, store.every)
        if past > 0:
            for step in plan[past]:
                for stage in [*step.stages, *self.ruler.features_of(step)]:
                    if stage.persist:  # what this run has not committed is another run's
                        stage.forget()
