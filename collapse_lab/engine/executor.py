"""Execute the work of a cell by itself, in the thread that asks for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from collapse_lab.engine.arithmetic import choose_arithmetic
from collapse_lab.types import Checkpointing, FitRequest, SampleRequest, Samples

log = logging.getLogger(__name__)

PATIENCE = 1.0  # seconds of waiting of which the user is not told


class Alone:
    """Fit and sample one model at a time; wait for other processes by waiting."""

    def fit(self, request: FitRequest) -> None:
        """Fit a model in place, in this process or divided over several."""
        if request.budget.devices > 1 and request.budget.steps:
            # Because it imports Lightning, which a family with a closed form does without
            from collapse_lab.engine.distributed import fit_divided

            fit_divided(request, fit_here)
        else:
            prepared(request)()

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


def fit_here(request: FitRequest) -> None:
    """Fit a model in place, in this process."""
    prepared(request)()


def prepared(request: FitRequest) -> Callable[[], None]:
    """Return the fit of a request, with nothing left to give, after its arithmetic is chosen."""
    choose_arithmetic(request.budget.arithmetic)
    fit = fitting_from(request.model, request.checkpoint)
    if request.row_weights is not None:
        fit = partial(fit, weights=request.row_weights)
    return partial(fit, request.data, request.budget, request.seeds, request.progress)


def fitting_from(plug: Any, checkpoint: Checkpointing | None) -> Callable[..., None]:
    """Return the method `fit` of a family or an extractor, told of its checkpoint where it can go on from one."""
    fit: Callable[..., None] = plug.fit
    if checkpoint is None or not getattr(plug, "resumes", False):
        return fit
    return partial(fit, checkpoint=checkpoint)
