"""Execute the work of a cell by itself, in the thread that asks for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial

from collapse_lab.engine.arithmetic import choose_arithmetic
from collapse_lab.types import FitRequest, SampleRequest, Samples

log = logging.getLogger(__name__)

PATIENCE = 1.0  # seconds of waiting of which the user is not told


class Alone:
    """Fit and sample one model at a time; wait for other processes by waiting."""

    def fit(self, request: FitRequest) -> None:
        """Fit a model in place."""
        choose_arithmetic(request.budget.arithmetic)
        fit: Callable[..., None] = request.model.fit
        if request.checkpoint is not None and getattr(request.model, "resumes", False):
            fit = partial(fit, checkpoint=request.checkpoint)
        fit(request.data, request.budget, request.seeds, request.progress)

    def sample(self, request: SampleRequest) -> Samples:
        """Return what a fitted model samples."""
        choose_arithmetic(request.arithmetic)
        sample: Callable[..., Samples] = request.model.sample
        if request.allocate is not None and getattr(request.model, "allocates", False):
            sample = partial(sample, allocate=request.allocate)
        return sample(request.conditions, request.seeds, request.progress)

    def clock(self) -> float:
        """Return seconds by the wall clock."""
        return time.perf_counter()

    def wait(self, attempt: Callable[[float], bool], work: str) -> None:
        """Return once an attempt has succeeded; say what is waited for after a second."""
        if not attempt(PATIENCE):
            log.warning("waiting for another process that is computing %s", work)
            attempt(-1)
