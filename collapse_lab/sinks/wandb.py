"""Mirror the ledger to Weights & Biases; no other module but `cli.publishing` imports wandb."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

from collapse_lab.results import mirrored
from collapse_lab.results.names import base_names
from collapse_lab.sinks import tables as tables_of
from collapse_lab.sinks.closing import closing_numbers
from collapse_lab.sinks.fit_curves import Meter, Point, PointFile, before
from collapse_lab.sinks.grids import grids_of
from collapse_lab.sinks.harmless import harmless
from collapse_lab.sinks.lineage import nodes
from collapse_lab.sinks.tables import flat
from collapse_lab.storage.formats import ENVIRONMENT
from collapse_lab.storage.redaction import redacted, redacted_values
from collapse_lab.storage.store import entry_of
from collapse_lab.types import Count, Glance, Record, RunInfo

log = logging.getLogger(__name__)

MOST_ARTIFACTS = 20  # because each takes about 10 ms


class Wandb:
    """Mirror a run as one W&B run: id = signature, `generation` as the step of the charts of every generation.

    Offline, a resumed run is mirrored afresh from its ledger and its curves, and its earlier mirror is deleted. Lines
    are numbered in the order of the ledger, so that a line has the same step in every mirror and every upload.

    In a run of several models the names of all their numbers begin with `MODEL/`; those of a single model are plain.

    Curves within a fit are named `fit/…` and have `fit/generation` as their step: 2.5 is the middle of the fit of
    generation 2. A fit that the store had already is not computed, so it has no curve.

    Args:
        project: the W&B project.
        mode: "offline" (no account, no network, no prompt), "online" or "disabled".
        entity: the W&B user or team; None is the account's default.
        folder: the folder where W&B keeps its files; None is the run folder.
        every: steps of a fit between two points of its curves, rounded up to the 25 steps between two looks at the
            loss; None draws no curve.
        group: what the run is grouped by; None is the experiment. The yaml gives the name of the sweep in a sweep.
        job_type: the kind of the run, by which W&B filters; None for none.
        tags: words that runs can be found by.
        notes: a text about the run; None for none.
        system: whether W&B records the load of CPU, memory and GPU.
        artifacts: `lineage` records each fit and sampling of the first twenty generations as an artifact that says
            what it was made from; `files` also uploads their files from the store; `none` records none.
    """

    title: ClassVar[str] = "Weights & Biases"

    def __init__(
        self,
        project: str = "collapse_lab",
        mode: Literal["online", "offline", "disabled"] = "offline",
        entity: str | None = None,
        folder: str | None = None,
        every: Count | None = 50,
        group: str | None = None,
        job_type: str | None = "chain",
        tags: Sequence[str] = (),
        notes: str | None = None,
        system: bool = True,
        artifacts: Literal["none", "lineage", "files"] = "lineage",
    ) -> None:
        self.project, self.mode, self.entity, self.folder = project, mode, entity, folder
        self.every, self.system, self.artifacts = every, system, artifacts
        self.group, self.job_type, self.tags, self.notes = group, job_type, list(tags), notes
        self.failed = False
        self._run: Any = None
        self._info: RunInfo | None = None
        self._records: list[Record] = []
        self._meter = Meter(None if mode == "disabled" else every)
        self._points: PointFile | None = None
        self._waiting: list[Point] = []  # points of a fit that the ledger does not have yet
        self._defined: set[str] = set()
        self._line = 0  # number of the next line of the history

    @harmless
    def open(self, run: RunInfo, past: Sequence[Record]) -> None:
        """Start the mirror and fill it with `past`, its curves, and the grids in the run folder."""
        folder = Path(self.folder) if self.folder else run.folder
        folder.mkdir(parents=True, exist_ok=True)
        if self.mode == "offline":
            for stale in (folder / "wandb").glob(f"offline-run-*-{run.signature}"):
                shutil.rmtree(stale)
        self._info, self._records, self._defined = run, [], set()
        self._points = PointFile(folder / "wandb" / f"fits-{run.signature}.jsonl")
        self._run = self._begun(run, folder)
        self._line = int(self._run.step or 0)
        self._run.define_metric("generation")
        self._run.define_metric("*", step_metric="generation")
        # Online, the server still has what an earlier process sent, so do not send it again
        sent = int(self._run.summary.get("records", 0)) if self.mode == "online" else 0
        points = self._points.read()
        grids = grids_of(run.folder)
        for number, record in enumerate(past):
            if number < sent:
                self._records.append(record)
                continue
            for point in points:
                if point.records == number:
                    self._draw(point)
            for subset, path in grids[record.generation, record.model]:
                self._show(record.generation, record.model, subset, path)
            self._log(record)
        self._waiting = [point for point in points if point.records == len(past)] if self.mode == "offline" else []

    @harmless
    def start(self, generation: int, model: str, phase: str, total: int) -> None:
        """Begin a phase, which has curves if it is a fit."""
        self._meter.start(generation, model, phase, total)

    def advance(self, steps: int = 1) -> None:
        """Do nothing, because a curve has the points of `glance`."""

    def stop(self) -> None:
        """End the phase."""
        self._meter.stop()

    @harmless
    def glance(self, glance: Glance) -> None:
        """Draw a point of the curves within a fit, where it is time for one."""
        point = self._meter.point(glance, len(self._records))
        if point is None or self._points is None:
            return
        # Points of the process that was stopped, up to the checkpoint that the fit went on from
        self._send_waiting(before(self._waiting, point))
        self._points.append(point)
        self._draw(point)

    @harmless
    def record(self, record: Record) -> None:
        """Send the numbers of one generation of one model."""
        self._send_waiting(self._waiting)
        self._log(record)

    @harmless
    def grid(self, generation: int, model: str, subset: str, path: Path) -> None:
        """Send one grid of samples."""
        self._send_waiting(self._waiting)
        self._show(generation, model, subset, path)

    @harmless
    def close(self, status: str) -> None:
        """Send tables and the quantities of the chain, and end the run: failed unless `status` is ok or diverged."""
        import wandb

        assert self._info is not None
        tables = {"ledger": tables_of.ledger(self._records)}
        tables |= {f"texts/{name}": t for name, t in tables_of.texts(self._info.folder, self._records).items()}
        tables |= {f"members/{name}": t for name, t in tables_of.matrices(self._records).items()}
        shown = {name: wandb.Table(columns=t.columns, data=t.rows) for name, t in tables.items()}
        self._run.log(shown, step=self._line)
        for model in dict.fromkeys(record.model for record in self._records):
            numbers = closing_numbers([record for record in self._records if record.model == model])
            self._run.summary.update({self._prefix(model) + name: value for name, value in numbers.items()})
        self._run.summary["status"] = status
        self._finish(0 if status in ("ok", "diverged") else 1)

    def _begun(self, run: RunInfo, folder: Path) -> Any:
        """Return the W&B run, begun or gone on with."""
        import wandb

        path = run.folder / ENVIRONMENT
        environment = json.loads(path.read_bytes()) if path.exists() else {}
        with _command_without_secrets():
            return wandb.init(
                project=self.project,
                entity=self.entity,
                id=run.signature,
                name=f"{run.name} {run.signature}",
                # Because the client numbers the steps of a resumed run anew from the server's last one when it uploads
                # an offline mirror, a mirror that begins again at step 0 would add a second copy of each line
                resume="allow" if self.mode == "online" else None,
                # Another job of this process may have left a W&B run open, so create a new one instead of using that
                reinit="create_new",
                mode=self.mode,
                dir=str(folder),
                config=redacted_values({**run.config, "environment": environment}),
                group=self.group or run.name,
                job_type=self.job_type,
                tags=self.tags,
                notes=self.notes,
                settings=wandb.Settings(
                    silent=True,
                    console="off",
                    save_code=False,
                    disable_git=True,  # because it looks at the folder of the command, and not at that of the code
                    git_commit=environment.get("commit"),
                    x_disable_stats=not self.system,
                ),
            )

    def abandon(self) -> None:
        """End the W&B run as failed."""
        self._finish(1)

    def _finish(self, code: int) -> None:
        # Because the next job of a multirun would find an open W&B run, end this one
        run, self._run = self._run, None
        if run is not None:
            run.finish(exit_code=code)

    def _prefix(self, model: str) -> str:
        # A chart has one value per generation, so give each model of a population its own charts
        assert self._info is not None
        return mirrored.prefix(model, self._info.config)

    def _log(self, record: Record) -> None:
        prefix, values = self._prefix(record.model), flat(record)
        for name in record.metrics.keys() - {n.key for n in base_names(record.metrics)}:
            self._define(prefix + name, "generation", hidden=True)
        numbers = {prefix + k: v for k, v in values.items() if k not in ("generation", "model")}
        self._run.log({"generation": record.generation, **numbers}, step=self._line, commit=True)
        self._line += 1
        earlier = [other for other in self._records if other.generation == record.generation - 1]
        self._records.append(record)
        self._run.summary["records"] = len(self._records)
        if self.artifacts == "none" or record.generation >= MOST_ARTIFACTS:
            return
        try:
            self._trace(record, earlier)
        except Exception as error:  # because online the server is asked of artifacts, and numbers go on without them
            self.artifacts = "none"
            log.warning("Weights & Biases has no artifacts of this run (%s: %s)", type(error).__name__, error)

    def _draw(self, point: Point) -> None:
        prefix = self._prefix(point.model)
        x = f"{prefix}fit/generation"
        numbers = {f"{prefix}fit/{name}": value for name, value in point.numbers.items()}
        self._define(x, None, hidden=True)
        for name in numbers:
            self._define(name, x)
        self._run.log({x: point.position, f"{prefix}fit/step": point.step, **numbers}, step=self._line, commit=True)
        self._line += 1

    def _send_waiting(self, points: Sequence[Point]) -> None:
        self._waiting = []
        for point in points:
            self._draw(point)

    def _define(self, name: str, step: str | None, hidden: bool = False) -> None:
        if name not in self._defined:
            self._defined.add(name)
            self._run.define_metric(name, step_metric=step, hidden=hidden or None)

    def _show(self, generation: int, model: str, subset: str, path: Path) -> None:
        import wandb

        image = wandb.Image(str(path), caption=f"{model}, generation {generation}")
        # The grids of a generation come before its record, and share its step
        self._run.log({"generation": generation, f"grids/{subset}/{model}": image}, step=self._line)

    def _trace(self, record: Record, earlier: Sequence[Record]) -> None:
        import wandb

        assert self._info is not None
        for node in nodes(self._info, record, earlier):
            artifact = wandb.Artifact(node.name, type=node.kind, metadata=node.metadata)
            # Because W&B takes artifacts of equal files for one version, a file tells them apart
            with artifact.new_file("stage.json") as file:
                json.dump({"key": node.key, **node.metadata}, file)
            if self.artifacts == "files":
                entry = entry_of(Path(self._info.config["paths"]["store"]), node.kind, node.key)
                for path in sorted(entry.glob("*")):  # none where a stage is kept in memory alone (store.keep)
                    artifact.add_file(str(path))
            self._run.log_artifact(artifact, aliases=[node.alias])


@contextmanager
def _command_without_secrets() -> Iterator[None]:
    """Show W&B, which keeps a copy of this process's command line, one without secrets inside the block."""
    original = sys.argv
    sys.argv = [redacted(argument) for argument in original]
    try:
        yield
    finally:
        sys.argv = original
