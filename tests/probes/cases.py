"""Calls of a probe without a run around it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from collapse_lab.curation.none import Nothing
from collapse_lab.engine.population import Population
from collapse_lab.mixing.base import Policy
from collapse_lab.mixing.replace import Replace
from collapse_lab.models.replicated import Replicated
from collapse_lab.probes.process import Process
from collapse_lab.types import Estimate, Probe, Samples, Subject

RNG = np.random.default_rng(0)


def process(mixing: Policy | None = None, n: int = 100, generations: int = 10, n_samples: int | None = None) -> Process:
    return Process(mixing or Replace(), Population(), Nothing(), n, n_samples or n, generations)


def look(probe: Probe, model: Replicated, rows: Tensor) -> Mapping[str, Estimate]:
    """Return what the probe measures of a model; `rows` are both the real and the generated rows."""
    samples = Samples(rows, np.full(len(rows), -1))
    return probe(Subject(model, lambda: model, samples, samples), RNG)
