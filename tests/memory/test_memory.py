"""Rows are mapped, not held: how much memory a run takes hardly depends on how many rows there are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FEW = 300
ROW = 64 * 64 * 3
# glibc keeps freed memory for later use in as many arenas as there are threads, so the peaks of equal runs differed by
# 90 MB. With these settings it gives each block of 64 KB back at once, and peaks of equal runs differ by 3 MB
GIVE_BACK = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
BASE = 10**9  # what a run of a few rows may take: torch and its neighbours alone take about 0.6 GB


def peaks_of(module: str, folder: Path, rows: int) -> list[dict[str, Any]]:
    """Run a module of this package on a few rows and on many, and return what it prints of each."""
    command = [sys.executable, "-m", f"tests.memory.{module}", str(folder), str(FEW), str(rows)]
    given = os.environ | GIVE_BACK
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=580, env=given)
    assert done.returncode == 0, done.stderr
    few, many = (json.loads(line) for line in done.stdout.splitlines())
    assert (few["rows"], many["rows"]) == (FEW, rows)
    return [few, many]


@pytest.mark.slow
def test_latents_of_many_rows_take_hardly_more_memory_than_those_of_few(tmp_path: Path) -> None:
    rows, latents = 3000, 2 * 4 * 32 * 32 * 4
    few, many = (measured["peaks"] for measured in peaks_of("latents", tmp_path, rows))
    assert many["fit"] - few["fit"] < rows * latents / 8
    # A part is copied once while it is written
    assert many["encode"] - few["encode"] < 1024 * latents + rows * latents / 8


@pytest.mark.parametrize("rows", [9_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_many_rows_take_hardly_more_memory_than_few(tmp_path: Path, rows: int) -> None:
    few, many = peaks_of("child", tmp_path, rows)
    assert many["status"] == "ok"
    base, peak = (max(measured["peaks"].values()) for measured in (few, many))
    assert base < BASE, few
    # The first term is what rows under way take. The second is what is held of each row beside its picture; a copy of
    # all rows is 8 times that, and runs once held five copies
    assert peak - base < 80e6 + rows * ROW / 8, (few, many)
    assert peak < 1.5e9, many
