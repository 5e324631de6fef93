"""One run: its folder, its ledger, and the loop between them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from collapse_lab.config import schema
from collapse_lab.config.schema import Root
from collapse_lab.errors import UserError
from collapse_lab.sinks.console import Console, print_table
from collapse_lab.sinks.silent import Silent
from collapse_lab.storage.environment import provenance
from collapse_lab.storage.files import disk_is_full, locked, make_folder, write_whole
from collapse_lab.storage.ledger import LEDGER, Ledger, read
from collapse_lab.types import Progress, RunInfo, Sink

if TYPE_CHECKING:
    from collapse_lab.engine.lab import Lab
    from collapse_lab.engine.plan import Step
    from collapse_lab.engine.ruler import Ruler
    from collapse_lab.engine.work import Work

CONFIG = "config.yaml"


def run(cfg: DictConfig, root: Root, cell: Path | None) -> None:
    """Runs one cell to its end, or does nothing if it is there already.

    cell: where a sweep looks for this cell's outcome.
    """
    sign = schema.signature(cfg)
    info = RunInfo(root.name, sign, Path(cfg.paths.runs) / root.name / sign, schema.resolved(cfg))
    outcome = Outcome(info.folder, cell)
    with outcome:
        _refuse_another(info)
        if _finished(info.folder, root):
            outcome.status, outcome.computed = _say_finished(info.folder), False
        else:
            outcome.status = _compute(cfg, root, info)
        print(f"report: {info.folder / 'report.html'}")


class Outcome:
    """Writes how a run ended: into its folder, and to where its sweep looks for it."""

    def __init__(self, folder: Path, cell: Path | None) -> None:
        self.status, self.computed = "failed", True
        self._folder, self._cell, self._start = folder, cell, time.perf_counter()

    def __enter__(self) -> None:
        """Nothing to do but to be there at the end."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else self.status
        seconds = time.perf_counter() - self._start
        said = {"run": str(self._folder), "status": status, "reason": str(error or ""), "seconds": seconds}
        if self._cell is not None:
            self._cell.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._cell, json.dumps(said, indent=1))
        # A run that was complete keeps the word of the process that computed it; one that was refused leaves no trace
        if self.computed and (self._folder / CONFIG).exists():
            write_whole(self._folder / "status.json", json.dumps(said, indent=1))


def dry_run(cfg: DictConfig, root: Root) -> None:
    """Prints the rows that each generation would train on, and the stages that it would compute."""
    from rich.console import Console as Terminal
    from rich.table import Table

    _, _, ruler, plan = _laid_out(cfg, root, Silent())
    table = Table(title=f"{root.name} {schema.signature(cfg)}: what would run")
    for column in ("generation", "model", "real", "synthetic", "fit", "sample"):
        table.add_column(column, justify="right")
    stages = list(ruler.stages)
    for steps in plan:
        for step in steps:
            samples = [*step.samples.values(), *step.grids.values()]
            ready = sum(stage.ready for stage in samples)
            state = "stored" if step.fit.ready else "to do"
            table.add_row(
                str(step.generation),
                step.model,
                str(step.counts["real"]),
                str(step.counts["synthetic"]),
                f"{state} {step.fit.key[:8]}",
                f"{ready} of {len(samples)} stored",
            )
            stages += [*step.stages, *ruler.features_of(step)]
    done = sum(stage.ready for stage in stages)
    Terminal(width=100).print(table)
    print(f"{len(stages) - done} stages would run, {done} are in the store; nothing was computed")


def _compute(cfg: DictConfig, root: Root, info: RunInfo) -> str:
    from collapse_lab.config.building import make
    from collapse_lab.engine.loop import Loop

    sinks: list[Sink] = [make(node, f"sinks.{key}") for key, node in info.config["sinks"].items()]
    progress = next((sink for sink in sinks if isinstance(sink, Console)), Silent())
    lab, work, ruler, plan = _laid_out(cfg, root, progress)
    make_folder(info.folder, "paths.runs")
    lab.store.open()
    with locked(info.folder / ".lock", str(info.folder)):
        if _finished(info.folder, root):  # by another process, meanwhile
            return _say_finished(info.folder)
        _settle(cfg, info)
        ledger = Ledger(info.folder / LEDGER)
        status = "failed"
        for sink in sinks:
            sink.open(info, ledger.records())
        try:
            status = Loop(lab, work, ruler, ledger, sinks, info.folder).run(plan)
            _report(info.folder)
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        except OSError as error:
            if disk_is_full(error):
                raise UserError(
                    f"the disk of {info.folder} is full. What is in the ledger is whole: make room, and give the same "
                    "command again"
                ) from error
            raise
        finally:
            progress.stop()
            for sink in sinks:
                sink.close(status)
    return status


def _laid_out(cfg: DictConfig, root: Root, progress: Progress) -> tuple[Lab, Work, Ruler, list[list[Step]]]:
    """Everything built and every training set drawn; what can be refused is refused here."""
    from collapse_lab.config.building import build
    from collapse_lab.engine.extractors import Extractors
    from collapse_lab.engine.plan import Planner
    from collapse_lab.engine.ruler import Ruler
    from collapse_lab.engine.work import Work

    lab = build(cfg, root)
    extractors = Extractors(lab, progress)
    work = Work(lab, extractors, progress)
    plan = Planner(lab, work).steps()
    for model in lab.models:
        model.build(lab.dataset.spec, 0)  # a wrong size or range is refused now, not after generation 0
    return lab, work, Ruler(lab, extractors), plan


def _finished(folder: Path, root: Root) -> bool:
    if not ((folder / LEDGER).exists() and (folder / CONFIG).exists()):
        return False
    records = read(folder / LEDGER)
    if any(record.status == "diverged" for record in records):
        return True
    members = OmegaConf.load(folder / CONFIG).population.members or {"model": {}}
    wanted = {(g, str(name)) for g in range(root.generations + 1) for name in members}
    return wanted <= {(record.generation, record.model) for record in records}


def _say_finished(folder: Path) -> str:
    records = read(folder / LEDGER)
    print(f"already complete: {folder}")
    print_table(records)
    if not (folder / "report.html").exists():
        _report(folder)
    return "diverged" if any(record.status == "diverged" for record in records) else "ok"


def _report(folder: Path) -> None:
    from collapse_lab.report import write_report

    write_report([folder], folder / "report.html")


def _refuse_another(info: RunInfo) -> None:
    path = info.folder / CONFIG
    if not path.exists():
        return
    found = schema.signature(OmegaConf.load(path))  # type: ignore[arg-type]
    if found != info.signature:
        raise UserError(
            f"{info.folder} holds a run of another configuration (its config.yaml has the signature {found}, this "
            f"command {info.signature}); move that folder away, or give another paths.runs"
        )


def _settle(cfg: DictConfig, info: RunInfo) -> None:
    """Writes what the run is, once."""
    if not (info.folder / CONFIG).exists():
        write_whole(info.folder / "provenance.json", json.dumps(provenance(info.config), indent=1))
        # Paths and device masked: the file is equal for equal runs, wherever they ran
        write_whole(info.folder / CONFIG, OmegaConf.to_yaml(OmegaConf.create(schema.canonical(cfg))))
