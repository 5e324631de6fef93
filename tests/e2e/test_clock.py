"""Clocks that are a year off change no number, and nothing is computed again because of them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from tests.e2e.command import PIXELS, only_run, timeless
from tests.nursery import Nursery

YEAR = 365 * 24 * 3600
ARGS = [*PIXELS, "generations=1"]


def age(folder: Path, seconds: float) -> None:
    """Set the times of all files to another year."""
    for path in folder.rglob("*"):
        stat = path.stat()
        os.utime(path, (stat.st_atime + seconds, stat.st_mtime + seconds))


@pytest.mark.parametrize(
    "off", [pytest.param(YEAR, id="ahead"), pytest.param(-YEAR, id="behind", marks=pytest.mark.slow)]
)
def test_a_run_that_is_killed_goes_on_with_a_clock_a_year_off(nursery: Nursery, tmp_path: Path, off: int) -> None:
    runs, plain = tmp_path / "runs", tmp_path / "plain"
    assert nursery.run([*ARGS, f"paths.runs={plain}"]).code == 0
    killed = nursery.run([*ARGS, f"paths.runs={runs}"], signal_at=(9, "measure", 2), CLOCK_OFF=str(off))
    assert killed.code == -9
    age(runs, -2 * off)
    log = tmp_path / "stages"
    end = nursery.run([*ARGS, f"paths.runs={runs}"], CLOCK_OFF=str(-off))
    assert end.code == 0, end.err
    assert timeless(only_run(runs)) == timeless(only_run(plain))
    started = json.loads((only_run(runs) / "environment.json").read_text())["started"]
    assert int(started[:4]) == time.gmtime(time.time() + off).tm_year
    age(runs, 4 * off)
    again = nursery.run([*ARGS, f"paths.runs={runs}"], stages=log)
    assert again.code == 0, again.err
    assert "already complete" in again.out
    assert not log.exists()
