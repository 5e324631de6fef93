"""Mirror the ledger to Weights & Biases; no other module of the package imports wandb."""

from __future__ import annotations

import functools
import logging
import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec

from collapse_lab.storage.redaction import redacted, redacted_values
from collapse_lab.types import Record, RunInfo

P = ParamSpec("P")
_GRID = re.compile(r"(?P<model>.+)-g(?P<generation>\d+)\.png")

log = logging.getLogger(__name__)


def harmless(
    method: Callable[Concatenate[Wandb, P], None],
) -> Callable[Concatenate[Wandb, P], None]:
    """Return the method in a form that never raises: its first failure is a warning and turns the sink off.

    The run goes on, because the ledger has everything.

    Args:
        method: a method of `Wandb`.

    Returns:
        The guarded method, of the same signature.
    """

    @functools.wraps(method)
    def guarded(self: Wandb, /, *args: P.args, **kwargs: P.kwargs) -> None:
        if self.failed:
            return
        try:
            method(self, *args, **kwargs)
        except Exception as error:
            self.failed = True
            with suppress(Exception):
                self._finish(1)
            log.warning("Weights & Biases is off for the rest of this run (%s: %s)", type(error).__name__, error)

    return guarded


class Wandb:
    """Mirror a run as one W&B run: id = signature, group = experiment, `generation` as the step of every chart.

    Offline, a resumed run is mirrored afresh from its ledger, and its earlier mirror is deleted. The step of a line is
    the number of its record, so that the same record has the same step in every mirror and every upload.

    Args:
        project: the W&B project.
        mode: "offline" (no account, no network, no prompt), "online" or "disabled".
        entity: the W&B user or team; None is the account's default.
        folder: the folder where W&B keeps its files; None is the run folder.
    """

    def __init__(
        self,
        project: str = "collapse_lab",
        mode: Literal["online", "offline", "disabled"] = "offline",
        entity: str | None = None,
        folder: str | None = None,
    ) -> None:
        self.project = project
        self.mode = mode
        self.entity = entity
        self.folder = folder
        self.failed = False
        self._run: Any = None
        self._records: list[Record] = []

    @harmless
    def open(self, run: RunInfo, past: Sequence[Record]) -> None:
        """Start the mirror and fill it with `past` and with the grids in the run folder."""
        import wandb

        folder = Path(self.folder) if self.folder else run.folder
        folder.mkdir(parents=True, exist_ok=True)
        if self.mode == "offline":
            for stale in (folder / "wandb").glob(f"offline-run-*-{run.signature}"):
                shutil.rmtree(stale)
        self._records = []
        with _command_without_secrets():
            self._run = wandb.init(
                project=self.project,
                entity=self.entity,
                id=run.signature,
                name=f"{run.name} {run.signature}",
                group=run.name,
                # Because the client numbers the steps of a resumed run anew from the server's last one when it uploads
                # an offline mirror, a mirror that begins again at step 0 would add a second copy of each line
                resume="allow" if self.mode == "online" else None,
                # Another job of this process may have left a W&B run open, so create a new one instead of using that
                reinit="create_new",
                mode=self.mode,
                dir=str(folder),
                config=redacted_values(run.config),
                settings=wandb.Settings(
                    silent=True, console="off", save_code=False, disable_git=True, x_disable_stats=True
                ),
            )
        self._run.define_metric("generation")
        self._run.define_metric("*", step_metric="generation")
        # Online, the server still has the records that an earlier process sent, so do not send them again
        sent = int(self._run.summary.get("records", 0)) if self.mode == "online" else 0
        # A killed process may have left the grid of a generation that is not in the ledger. The engine draws that grid
        # again, so send only the grids of recorded generations
        grids = _grids(run.folder)
        for number, record in enumerate(past):
            if number < sent:
                self._records.append(record)
                continue
            for subset, path in grids[record.generation, record.model]:
                self._show(record.generation, record.model, subset, path)
            self._log(record)

    @harmless
    def record(self, record: Record) -> None:
        """Send the numbers of one generation of one model."""
        self._log(record)

    @harmless
    def grid(self, generation: int, model: str, subset: str, path: Path) -> None:
        """Send one grid of samples."""
        self._show(generation, model, subset, path)

    @harmless
    def close(self, status: str) -> None:
        """Send all records as a table and end the W&B run, as failed unless `status` is ok or diverged."""
        import wandb

        numbers = [_numbers(r) for r in self._records]
        columns = list(dict.fromkeys(key for row in numbers for key in row))
        rows = [[row.get(column) for column in columns] for row in numbers]
        self._run.log({"ledger": wandb.Table(columns=columns, data=rows)}, step=len(self._records))
        self._run.summary["status"] = status
        self._finish(0 if status in ("ok", "diverged") else 1)

    def _finish(self, code: int) -> None:
        # Because the next job of a multirun would find an open W&B run, end this one
        run, self._run = self._run, None
        if run is not None:
            run.finish(exit_code=code)

    def _log(self, record: Record) -> None:
        step = len(self._records)  # the number of the record, so that an upload that is repeated has the same steps
        self._records.append(record)
        # A chart has one value per generation, so give each further model of a population its own charts
        prefix = "" if record.model == self._records[0].model else f"{record.model}/"
        numbers = {prefix + k: v for k, v in _numbers(record).items() if k not in ("generation", "model")}
        self._run.log({"generation": record.generation, **numbers}, step=step, commit=True)
        self._run.summary["records"] = len(self._records)

    def _show(self, generation: int, model: str, subset: str, path: Path) -> None:
        import wandb

        image = wandb.Image(str(path), caption=f"{model}, generation {generation}")
        # The grids of a generation come before its record, and share its step
        self._run.log({"generation": generation, f"grids/{subset}/{model}": image}, step=len(self._records))


@contextmanager
def _command_without_secrets() -> Iterator[None]:
    """Show W&B, which keeps a copy of this process's command line, one without secrets inside the block."""
    original = sys.argv
    sys.argv = [redacted(argument) for argument in original]
    try:
        yield
    finally:
        sys.argv = original


def _numbers(record: Record) -> dict[str, Any]:
    """Return a record as one flat row."""
    return {
        "generation": record.generation,
        "model": record.model,
        "status": record.status,
        **{f"counts/{kind}": n for kind, n in record.counts.items()},
        **record.metrics,
        **{f"seconds/{phase}": seconds for phase, seconds in record.seconds.items()},
    }


def _grids(folder: Path) -> defaultdict[tuple[int, str], list[tuple[str, Path]]]:
    """Return (subset, path) of each grid in a run folder, by generation and model."""
    found = defaultdict(list)
    for path in sorted((folder / "grids").glob("*/*.png")):
        if match := _GRID.fullmatch(path.name):
            found[int(match["generation"]), match["model"]].append((path.parent.name, path))
    return found
