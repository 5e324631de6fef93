"""An experiment in Python: compose it, look at its plan, run it. The command line uses the same three steps."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf

from collapse_lab.config.building import build, build_sinks, pick_device
from collapse_lab.config.composing import Composed
from collapse_lab.config.older import refuse_older_format
from collapse_lab.config.signature import canonical, resolved, signature, signature_of
from collapse_lab.engine.executor import Alone
from collapse_lab.engine.loop import Loop
from collapse_lab.engine.run import Layout, check_records, lay_out, recording, records_of
from collapse_lab.engine.silent import Silent
from collapse_lab.errors import UserError
from collapse_lab.packing.everyone import Everyone
from collapse_lab.sinks.noting import Noting
from collapse_lab.storage.files import full_disk_explained, locked, make_folder
from collapse_lab.storage.formats import CONFIG, FORMAT, LOCK, MARK
from collapse_lab.storage.ledger import LEDGER
from collapse_lab.storage.redaction import redacted_values
from collapse_lab.types import Executor, Progress, Record, RunInfo, Sink


@dataclass(frozen=True)
class Result:
    """Hold what a run came to.

    Attributes:
        folder: the run's folder.
        status: `ok` or `diverged`.
        records: the ledger, oldest line first.
        computed: whether this call computed anything, or found the run complete.
    """

    folder: Path
    status: Literal["ok", "diverged"]
    records: tuple[Record, ...]
    computed: bool

    @property
    def report(self) -> Path:
        """Return the path of the run's page."""
        return self.folder / "report.html"


@dataclass(frozen=True)
class PlannedStep:
    """Hold what one model of one generation would do.

    Attributes:
        generation: 0 or more.
        model: the member.
        counts: real and synthetic rows that it trains on.
        fit: the key of its fit.
        fit_ready: whether the store holds the fit.
        samples: how many samplings belong to it.
        samples_ready: how many of them the store holds.
    """

    generation: int
    model: str
    counts: dict[str, int]
    fit: str
    fit_ready: bool
    samples: int
    samples_ready: int


@dataclass(frozen=True)
class Plan:
    """Hold what a run would compute; nothing was computed to know it.

    Attributes:
        steps: one for each model of each generation.
        stages_to_do: stages that the store does not hold.
        stages_ready: stages that the store holds.
    """

    steps: tuple[PlannedStep, ...]
    stages_to_do: int
    stages_ready: int


class Experiment:
    """Represent one composed experiment, built and checked. Make it with `prepare`.

    Attributes:
        info: its name, signature, folder and resolved configuration.
    """

    def __init__(self, composed: Composed, executor: Executor) -> None:
        cfg, root = composed.cfg, composed.root
        self._executor = executor
        # Because the file is equal for equal runs on any machine, paths and device are masked in it
        plain = canonical(cfg)
        plain["sinks"] = redacted_values(plain["sinks"])  # because a sink may take a key; sinks change no signature
        self._config_text = OmegaConf.to_yaml(OmegaConf.create({MARK: FORMAT, **plain}))
        sign = signature_of(plain)
        config = {**resolved(cfg), "device": pick_device(root.device)}
        self.info = RunInfo(root.name, sign, Path(cfg.paths.runs) / root.name / sign, config)
        self._sinks = build_sinks(self.info.config)
        self._noting = Noting(_progress(self._sinks), self.info.folder)
        self.layout: Layout = lay_out(build(cfg, executor), self._noting)

    @cached_property
    def plan(self) -> Plan:
        """Return what the run would compute: the dry run."""
        stages = self.layout.stages
        ready = sum(stage.ready for stage in stages)
        steps = []
        for step in (step for generation in self.layout.plan for step in generation):
            samples = [*step.samples.values(), *step.grids.values()]
            steps.append(
                PlannedStep(
                    generation=step.generation,
                    model=step.model,
                    counts=dict(step.counts),
                    fit=step.fit.key,
                    fit_ready=step.fit.ready,
                    samples=len(samples),
                    samples_ready=sum(stage.ready for stage in samples),
                )
            )
        return Plan(tuple(steps), len(stages) - ready, ready)

    def run(self) -> Result:
        """Return the result of the run, computed to its end; a run that is complete is read and not computed.

        Raises:
            UserError: the folder holds another run, an older format, or cannot be written to; a disk is full.
        """
        folder = self.info.folder
        refuse_older_format(self.info)
        self._refuse_another_run()
        make_folder(folder, "paths.runs")
        self.layout.lab.store.open()
        with full_disk_explained(folder), locked(folder / LOCK, str(folder), self._executor):
            recorded = records_of(folder)
            check_records(recorded, self.layout.plan, folder / LEDGER)
            computed = not self.layout.is_finished(recorded)
            if computed:
                lab, layout = self.layout.lab, self.layout
                record = recording(self.info, self._sinks, self._config_text, lab.skipped)
                with closing(self._noting), record as session:
                    loop = Loop(lab, layout.work, layout.ruler, session.ledger, self._sinks, folder)
                    session.status = loop.run(layout.plan)
        records = tuple(records_of(folder))
        diverged = any(record.status == "diverged" for record in records)
        result = Result(folder, "diverged" if diverged else "ok", records, computed)
        if computed or not result.report.exists():
            from collapse_lab.report import write_report

            write_report([folder], result.report)
        return result

    def compute(self, places: Sequence[tuple[str, str]]) -> None:
        """Compute some stages of the run and what they rest on, and record nothing: other cells share them.

        Args:
            places: kinds and keys of stages. Those that the run does not have are left out.

        Raises:
            UserError: the store cannot be written to, or the disk is full.
        """
        wanted = set(places)
        self.layout.lab.store.open()
        for stage in self.layout.stages:
            if (stage.kind, stage.key) in wanted:
                divergence = stage.value().divergence
                for held in (stage, *stage.parents):  # because a long chain would otherwise gather in memory
                    held.release()
                if divergence is not None:
                    return  # because the run ends there, and the other stages are none of it

    def _refuse_another_run(self) -> None:
        path = self.info.folder / CONFIG
        if not path.exists():
            return
        present = signature(OmegaConf.load(path))  # type: ignore[arg-type]
        if present != self.info.signature:
            raise UserError(
                f"{self.info.folder} holds a run of another configuration (its config.yaml has the signature "
                f"{present}, this command {self.info.signature}); move that folder away, or give another paths.runs"
            )


def prepare(composed: Composed, executor: Executor | None = None) -> Experiment:
    """Return an experiment, built and checked; nothing is computed.

    Example:
        >>> from collapse_lab import compose, prepare
        >>> result = prepare(compose("+experiment=nepotistic", "ratio=0.1")).run()  # doctest: +SKIP

    Args:
        composed: what `compose` returned.
        executor: how fits and samplings are executed; alone in this thread unless it is given.

    Raises:
        UserError: anything that can be known to be wrong before something is computed.
    """
    return Experiment(composed, executor or Alone())


def _progress(sinks: Sequence[Sink]) -> Progress:
    """Return what tells all sinks that show progress; a silent one where none does."""
    told: list[Any] = [sink for sink in sinks if callable(getattr(sink, "advance", None))]
    return Everyone(told) if len(told) > 1 else next(iter(told), Silent())
