"""Commands in forked children of one process that has everything imported (`tests.e2e.nursery`)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command import ROOT, environment


@dataclass(frozen=True)
class End:
    """How a command ended. code: negative for the signal that ended it."""

    code: int
    out: str
    err: str
    seconds: float


class Nursery:
    """Runs commands in forked children of one process; see nursery.py."""

    def __init__(self, process: subprocess.Popen[str], place: Path) -> None:
        self._process, self._place = process, place

    def run(self, args: Sequence[str], **options: Any) -> End:
        """One command to its end. kill_after: seconds to SIGKILL. signal_at: (signal, call, nth)."""
        return self.together([args], **options)[0]

    def together(
        self,
        commands: Sequence[Sequence[str]],
        kill_after: float | Sequence[float | None] | None = None,
        signal_at: tuple[int, str, int] | None = None,
        stages: Path | None = None,
        **env: str,
    ) -> list[End]:
        """Several commands started at the same moment. stages: a log of every stage that one of them computes.

        kill_after: for all commands, or one for each.
        """
        kills = kill_after if isinstance(kill_after, Sequence) else [kill_after] * len(commands)
        jobs: list[dict[str, Any]] = [
            {
                "args": [*args],
                "out": str(self._place / f"{number}.out"),
                "err": str(self._place / f"{number}.err"),
                "env": env,
                "kill_after": kills[number],
                "signal_at": signal_at,
                "stages": str(stages) if stages else None,
            }
            for number, args in enumerate(commands)
        ]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(jobs) + "\n")
        self._process.stdin.flush()
        ends = json.loads(self._process.stdout.readline())
        return [
            End(end["code"], Path(job["out"]).read_text(), Path(job["err"]).read_text(), end["seconds"])
            for job, end in zip(jobs, ends, strict=True)
        ]


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.nursery"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield Nursery(process, tmp_path_factory.mktemp("nursery"))
    assert process.stdin is not None
    process.stdin.close()
    process.wait(timeout=30)
