"""Metrics by their names, with NumPy arrays: the same numbers as those of their functions."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

import collapse_lab.metrics
from collapse_lab.errors import UserError
from collapse_lab.metrics import FUNCTIONS

metrics: Any = collapse_lab.metrics
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 4)), RNG.normal(0.5, 2, size=(70, 4))
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "vendi": (X,),
    "pairwise_distance": (X,),
    "mode_coverage": (np.asarray([0, 0, 2]), np.asarray([0, 1, 2, 3])),
    "class_entropy": (np.asarray([0, 0, 2]),),
    "similarity": (X, Y[:60]),
    "clip_score": (X, Y[:60]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_name_takes_arrays_and_gives_what_its_function_gives_for_tensors(name: str) -> None:
    module, function = FUNCTIONS[name]
    arrays = ARGUMENTS.get(name, (X, Y))
    tensors = [torch.from_numpy(array) for array in arrays]
    more = ({"rng": np.random.default_rng(1)}, {"rng": np.random.default_rng(1)}) if name == "fd_infinity" else ({}, {})
    expected = getattr(importlib.import_module(f"collapse_lab.metrics.{module}"), function)(*tensors, **more[0])
    assert getattr(metrics, name)(*arrays, **more[1]) == expected
    assert getattr(metrics, name).__doc__


def test_the_frechet_distance_of_arrays_is_that_of_two_gaussians() -> None:
    shift = np.asarray([3.0, 0, 0, 4])
    assert metrics.fid(X, X + shift) == pytest.approx(25)
    assert metrics.fid(x=X, y=np.asfortranarray(X[::-1])) == pytest.approx(0, abs=1e-9)


def test_arrays_that_are_no_features_are_refused() -> None:
    with pytest.raises(UserError, match="1 of the 70 rows of the second feature set hold NaN"):
        metrics.kid(X, np.where(np.arange(70)[:, None] == 3, np.nan, Y))
    with pytest.raises(AttributeError, match="has no attribute 'fids'"):
        metrics.fids  # noqa: B018


def test_a_metric_keeps_its_module_and_names_that_are_no_module_are_imported() -> None:
    from collapse_lab.metrics import fid
    from collapse_lab.metrics.fid import FID

    assert fid.FID is FID
    assert doctest.testmod(collapse_lab.metrics).failed == 0


def test_the_package_alone_imports_no_torch() -> None:
    line = "import sys, collapse_lab.metrics as m; assert 'fid' in m.__all__; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", line], check=True)
