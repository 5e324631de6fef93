"""A disk that fills at any write of a run or of a sweep: one clear line, and the next run comes out the same."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from collapse_lab import compose, prepare
from collapse_lab.config.composing import Composed
from collapse_lab.errors import UserError
from collapse_lab.report import page
from tests.cli.test_run import NAME, TINY
from tests.e2e.command import only_run, timeless
from tests.e2e.full_disk import FullDisk

DRAFT = re.compile(r"\.(probe|config\.yaml|environment\.json|status\.json|report\.html)-.*")

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="finds the file of a descriptor by /proc")


@dataclass(frozen=True)
class Toy:
    """A tiny run, what it comes to on a disk with room, and how many writes it takes."""

    composed: Composed
    runs: Path
    lines: object
    writes: int


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toy]:
    runs = tmp_path_factory.mktemp("disk") / "runs"
    composed = compose(*TINY, f"paths.runs={runs}")
    disk = FullDisk(runs.parent)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(page, "SECTIONS", ())  # because figures take most of the time, and are written nowhere
        with disk.mounted():
            prepare(composed).run()
        yield Toy(composed, runs, timeless(only_run(runs, NAME)), disk.writes)


def full(composed: Composed) -> str:
    """Run on a full disk, and return the refusal; "" where there is none."""
    try:
        prepare(composed).run()
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("only", "step"),
    [
        pytest.param(False, 3, id="every third write, it stays full"),  # because each write is two runs
        pytest.param(False, 1, id="it stays full", marks=pytest.mark.slow),
        pytest.param(True, 1, id="room is made", marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("real_pages")
def test_a_disk_that_fills_at_any_write_of_a_run_is_one_line_and_costs_nothing(toy: Toy, only: bool, step: int) -> None:
    assert toy.writes > 40
    ended = 0
    for first in range(1, toy.writes + 1, step):
        shutil.rmtree(toy.runs)
        with FullDisk(toy.runs.parent, first, only).mounted():
            refusal = full(toy.composed)
        if refusal:
            assert "is full. " in refusal or "No space left on device" in refusal, first
            assert "\n" not in refusal
            ended += 1
        assert [path for path in toy.runs.rglob("*") if DRAFT.fullmatch(path.name)] == [], first
        assert prepare(toy.composed).run().status == "ok"
        assert timeless(only_run(toy.runs, NAME)) == toy.lines, first
    # Because status.json says how a run ended, and is no part of what it comes to, its four writes end no run
    assert ended == len(range(1, toy.writes + 1, step)) - (4 if only else 0)
