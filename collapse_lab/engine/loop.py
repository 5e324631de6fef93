"""The loop: mix, fit, sample, measure, record, generation after generation, for one model or many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from collapse_lab.engine.excerpts import write_excerpts
from collapse_lab.engine.lab import Lab
from collapse_lab.engine.payloads import samples_of
from collapse_lab.engine.plan import Step, step_of
from collapse_lab.engine.ruler import Reading, Ruler
from collapse_lab.engine.work import Work
from collapse_lab.errors import Diverged
from collapse_lab.images import grid
from collapse_lab.storage.ledger import Ledger
from collapse_lab.types import GenerativeModel, Record, Sink


@dataclass(frozen=True)
class Loop:
    """Walk a planned run. A generation that the ledger holds already is neither computed nor read again."""

    lab: Lab
    work: Work
    ruler: Ruler
    ledger: Ledger
    sinks: Sequence[Sink]
    folder: Path

    def run(self, plan: Sequence[Sequence[Step]]) -> Literal["ok", "diverged"]:
        """Return the status of the chain. A model that diverges ends it, and what came before is kept."""
        recorded = {(record.generation, record.model): record for record in self.ledger.records()}
        firsts: dict[str, Step] = {}
        self.ruler.prepare()
        try:
            for generation, steps in enumerate(plan):
                for number, step in enumerate(steps):
                    first = firsts.setdefault(step.model, step)
                    before = step_of(plan, generation - 1, step.model) if generation else None
                    record = recorded.get((generation, step.model))
                    record = record or self._advance(step, first, before, steps[:number])
                    if record.status == "diverged":
                        return "diverged"
                self._tidy(plan, generation)
            return "ok"
        finally:
            self.ledger.sync()

    def _advance(self, step: Step, first: Step, before: Step | None, beside: Sequence[Step]) -> Record:
        """Compute, measure and record one step.

        `first` and `before` are the same member's, of earlier generations; `beside` are other members', of this one.
        """
        try:
            for stage in step.computed:
                stage.value().sound()
            reading = self.ruler.measure(step, self._look, first, before, beside)
            record = _record(step, reading, "ok")
        except Diverged:
            record = _record(step, Reading({}, {}, 0.0), "diverged")
        else:
            self._draw_grids(step)
            if self.lab.dataset.spec.modality == "tokens":
                self._write_texts(step, reading)
        # A power cut would cost the generations since the last commit anyway, so it may cost their lines too
        self.ledger.append(record, durable=self.lab.store.commits(step.generation))
        for sink in self.sinks:
            sink.record(record)
        return record

    def _look(self, step: Step) -> GenerativeModel:
        return self.work.fitted(step.model, step.fit, step.generation)

    def _draw_grids(self, step: Step) -> None:
        for subset, stage in step.grids.items():
            path = self.folder / "grids" / subset / f"{step.model}-g{step.generation:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            grid(samples_of(stage.value()).data, columns=10).save(path)
            for sink in self.sinks:
                sink.grid(step.generation, step.model, subset, path)

    def _write_texts(self, step: Step, reading: Reading) -> None:
        for subset, stage in step.samples.items():
            path = self.folder / "texts" / subset / f"{step.model}-g{step.generation:03d}.json"
            write_excerpts(path, self.lab, subset, samples_of(stage.value()), reading.kept[subset])

    def _tidy(self, plan: Sequence[Sequence[Step]], generation: int) -> None:
        """Let go of what no later generation reads: from memory always, from disk as `store.keep` says."""
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
                    if stage.persist:  # because a stage that this run has not committed is another run's
                        stage.forget()


def _record(step: Step, reading: Reading, status: Literal["ok", "diverged"]) -> Record:
    seconds = {
        "fit": step.fit.value().seconds,
        "sample": sum(s.value().seconds for s in step.samples.values()) if status == "ok" else 0.0,
        "measure": reading.seconds,
    }
    return Record(
        step.generation, step.model, dict(step.counts), reading.metrics, seconds, status, step.keys, reading.features
    )
