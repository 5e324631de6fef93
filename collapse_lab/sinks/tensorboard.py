"""Mirror the ledger to TensorBoard; no other module of the package imports it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.results.names import base_names
from collapse_lab.sinks.fit_curves import Meter
from collapse_lab.sinks.grids import grids_of
from collapse_lab.sinks.harmless import harmless
from collapse_lab.types import Count, Glance, Record, RunInfo

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"


class TensorBoard:
    """Write event files into the folder `tensorboard` of the run: `tensorboard --logdir runs` shows them.

    The numbers of a generation have its number as their step, without intervals and floors. Each fit is a run of its
    own beside them, `MODEL-fit-g003`, whose steps are those of the fit, so that the fits of a chain lie on each other.
    A resumed run is mirrored afresh from its ledger, except for the fits.

    Args:
        every: steps of a fit between two points of its curves, rounded up to the 25 steps between two looks at the
            loss; None draws no curve.

    Raises:
        UserError: TensorBoard is not installed.
    """

    title: ClassVar[str] = "TensorBoard"

    def __init__(self, every: Count | None = 50) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UserError(
                "sinks=[tensorboard] needs TensorBoard, which is not installed: pip install 'collapse-lab[tensorboard]'"
            ) from error
        self.failed = False
        self._make: type[SummaryWriter] = SummaryWriter
        self._meter = Meter(every)
        self._folder = Path()
        self._writers: dict[str, SummaryWriter] = {}
        self._fit: SummaryWriter | None = None

    @harmless
    def open(self, run: RunInfo, past: Sequence[Record]) -> None:
        """Write the records of an earlier process again, in the place of what it wrote."""
        self._folder = run.folder / FOLDER
        for model in {record.model for record in past}:
            shutil.rmtree(self._folder / model, ignore_errors=True)
        grids = grids_of(run.folder)
        for record in past:
            self.record(record)
            for subset, path in grids[record.generation, record.model]:
                self.grid(record.generation, record.model, subset, path)

    @harmless
    def start(self, generation: int, model: str, phase: str, total: int) -> None:
        """Begin a phase, which has curves if it is a fit."""
        self._meter.start(generation, model, phase, total)

    def advance(self, steps: int = 1) -> None:
        """Do nothing, because a curve has the points of `glance`."""

    @harmless
    def stop(self) -> None:
        """End the phase, and write its curves."""
        self._meter.stop()
        if self._fit is not None:
            self._fit.close()
        self._fit = None

    @harmless
    def glance(self, glance: Glance) -> None:
        """Draw a point of the curves within a fit, where it is time for one."""
        point = self._meter.point(glance, 0)
        if point is None:
            return
        if self._fit is None:
            # Steps of this fit from here on are the first ones, or those of a process that was stopped
            name = f"{point.model}-fit-g{point.generation:03d}"
            self._fit = self._make(self._folder / name, purge_step=point.step)
        for key, value in point.numbers.items():
            self._fit.add_scalar(f"fit/{key}", value, point.step)

    @harmless
    def record(self, record: Record) -> None:
        """Write the numbers of one generation of one model."""
        writer, metrics = self._writer(record.model), {n.key: record.metrics[n.key] for n in base_names(record.metrics)}
        counts = {f"counts/{kind}": n for kind, n in record.counts.items()}
        for name, value in {**metrics, **counts}.items():
            writer.add_scalar(name, value, record.generation)
        writer.flush()

    @harmless
    def grid(self, generation: int, model: str, subset: str, path: Path) -> None:
        """Write one grid of samples."""
        from PIL import Image

        pixels: Any = np.asarray(Image.open(path).convert("RGB"))
        self._writer(model).add_image(f"grids/{subset}", pixels, generation, dataformats="HWC")

    @harmless
    def close(self, status: str) -> None:
        """Close the files."""
        self.stop()
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def abandon(self) -> None:
        """Close the files without a word."""
        for writer in filter(None, (self._fit, *self._writers.values())):
            writer.close()

    def _writer(self, model: str) -> SummaryWriter:
        if model not in self._writers:
            self._writers[model] = self._make(self._folder / model)
        return self._writers[model]
