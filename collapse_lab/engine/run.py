"""One run: laid out before anything is computed, then recorded in its folder."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collapse_lab.engine.extractors import Extractors
from collapse_lab.engine.lab import Lab
from collapse_lab.engine.outcome import GOOD, Outcome, Status, failure
from collapse_lab.engine.plan import Generations, Planner
from collapse_lab.engine.ruler import Ruler
from collapse_lab.engine.stages import Stage
from collapse_lab.engine.work import Work
from collapse_lab.errors import UserError
from collapse_lab.storage.environment import describe_environment
from collapse_lab.storage.files import full_disk_explained, write_whole
from collapse_lab.storage.formats import CONFIG, ENVIRONMENT, SKIPPED, STATUS
from collapse_lab.storage.ledger import LEDGER, Ledger, read
from collapse_lab.types import Progress, Record, RunInfo, Sink

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Layout:
    """Hold everything of a run that is known before anything is computed.

    Attributes:
        lab: what the run is made of.
        work: makes the bodies of its stages.
        ruler: measures its generations.
        plan: a list of steps (a step a model) for each generation.
    """

    lab: Lab
    work: Work
    ruler: Ruler
    plan: Generations

    @property
    def stages(self) -> list[Stage]:
        """Return every stage of the run, shared ones first."""
        stages = [*self.ruler.stages, *self.work.encodings.shared]
        for steps in self.plan:
            for step in steps:
                stages += [*step.stages, *self.ruler.features_of(step)]
        return stages

    def is_finished(self, records: Sequence[Record]) -> bool:
        """Return whether a ledger holds every generation of every model, or ends with a divergence."""
        if any(record.status == "diverged" for record in records):
            return True
        wanted = {(step.generation, step.model) for steps in self.plan for step in steps}
        return wanted <= {(record.generation, record.model) for record in records}


@dataclass
class Session:
    """Hold the open ledger of a run that is being computed, and the status that it came to."""

    ledger: Ledger
    status: Status = "failed"


def check_records(records: Sequence[Record], plan: Generations, path: Path) -> None:
    """Refuse a ledger that is not the beginning of this plan, before anything is continued or called complete.

    Args:
        records: the lines of the ledger.
        plan: the steps of the run.
        path: the ledger's file, which messages name.

    Raises:
        UserError: a line is of another generation or model than the plan has there, rests on stages of other keys, or
            follows a divergence.
    """
    steps = [step for generation in plan for step in generation]
    mend = "restore the file, or delete it: stages of the store are not computed again"
    for number, record in enumerate(records, start=1):
        if number > len(steps):
            raise UserError(f"{path}, line {number} is one line more than the run's {len(steps)} steps: {mend}")
        step = steps[number - 1]
        if (record.generation, record.model) != (step.generation, step.model):
            raise UserError(
                f"{path}, line {number} is generation {record.generation} of '{record.model}', where generation "
                f"{step.generation} of '{step.model}' is due: {mend}"
            )
        if record.keys != step.keys:
            raise UserError(
                f"{path}, line {number} rests on other stages than this run has (data or weights at a path have "
                f"changed, or the line is another run's): {mend}"
            )
        if number > 1 and records[number - 2].status == "diverged":
            raise UserError(f"{path}, line {number} follows a generation that diverged: {mend}")


def lay_out(lab: Lab, progress: Progress) -> Layout:
    """Return the layout of a run: every training set is drawn, and nothing is computed.

    Raises:
        UserError: a training set cannot be drawn, or a feature space does not suit the data.
    """
    extractors = Extractors(lab, progress)
    work = Work(lab, extractors, progress)
    plan = Planner(lab, work).steps()
    return Layout(lab, work, Ruler(lab, extractors, work.encodings), plan)


def records_of(folder: Path) -> list[Record]:
    """Return the records of a run folder; none where no run was begun there."""
    begun = (folder / LEDGER).exists() and (folder / CONFIG).exists()
    return read(folder / LEDGER) if begun else []


@contextmanager
def recording(info: RunInfo, sinks: Sequence[Sink], config_text: str, skipped: Sequence[str] = ()) -> Iterator[Session]:
    """Open a run's folder, ledger and sinks for the block, and write how the block ended.

    The caller holds the lock of the folder.

    Args:
        info: the run's name, signature and folder.
        sinks: mirrors of the ledger.
        config_text: what config.yaml holds; it is written once.
        skipped: the pictures that were left out, each with the reason; they are written once.

    Raises:
        UserError: a disk is full.
    """
    begun, outcome = time.perf_counter(), Outcome(str(info.folder), "failed")
    opened: list[Sink] = []
    try:
        with full_disk_explained(info.folder):
            _settle(info, config_text, skipped)
            session = Session(Ledger(info.folder / LEDGER))
            for sink in sinks:
                opened.append(sink)
                sink.open(info, session.ledger.records())
            yield session
        outcome = Outcome(str(info.folder), session.status, "", time.perf_counter() - begun)
    except BaseException as error:
        outcome = failure(error, str(info.folder), time.perf_counter() - begun)
        raise
    finally:
        _finish(outcome, info.folder, opened)


def _finish(outcome: Outcome, folder: Path, sinks: Sequence[Sink]) -> None:
    """Write how the run ended, then close the sinks: a sink may take long, and be interrupted.

    Raises:
        Exception: the first error of a sink, if the run ended well; otherwise the run's own error is on its way, and
            the sinks' are logged.
    """
    outcome.write_or_log(folder / STATUS)
    errors = []
    for sink in sinks:
        try:
            sink.close(outcome.status)
        except Exception as error:
            errors.append(error)
            log.warning("%s cannot be closed (%s); the run ended as %s", type(sink).__name__, error, outcome.status)
    if errors and outcome.status in GOOD:
        raise errors[0]


def _settle(info: RunInfo, config_text: str, skipped: Sequence[str]) -> None:
    """Write what the run is, once."""
    if not (info.folder / CONFIG).exists():
        environment: Mapping[str, Any] = describe_environment(info.config["paths"], info.config["device"])
        write_whole(info.folder / ENVIRONMENT, json.dumps(environment, indent=1))
        if skipped:
            lines = [" ".join(picture.split()) for picture in skipped]  # because a name may hold the end of a line
            write_whole(info.folder / SKIPPED, "\n".join(lines) + "\n")
        write_whole(info.folder / CONFIG, config_text)
