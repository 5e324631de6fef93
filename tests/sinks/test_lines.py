"""Lines within a phase, where stderr is no terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from collapse_lab.sinks import lines
from collapse_lab.sinks.console import Console
from collapse_lab.sinks.lines import Lines
from collapse_lab.types import RunInfo


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_line_for_every_half_minute_says_how_far_it_is_and_how_long_the_rest_takes() -> None:
    clock, said = Clock(), list[str]()
    spoken = Lines(said.append, clock)
    spoken.start("generation 1/5 · model · fit", 100)
    for _ in range(100):
        clock.now += 1
        spoken.advance(1)
    assert said == [
        "generation 1/5 · model · fit · 30 of 100, about 0:01:10 left",
        "generation 1/5 · model · fit · 60 of 100, about 0:00:40 left",
        "generation 1/5 · model · fit · 90 of 100, about 0:00:10 left",
    ]


def test_a_short_phase_says_nothing_and_the_next_begins_anew() -> None:
    clock, said = Clock(), list[str]()
    spoken = Lines(said.append, clock)
    for _ in range(3):
        spoken.start("a", 2)
        clock.now += 29
        spoken.advance(1)
        clock.now += 29
        spoken.advance(1)
    assert said == []


def test_the_console_says_them_without_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "EVERY", 0.0)
    sink = Console(generations=2)
    sink.open(RunInfo("nepotistic", "a1b2", tmp_path, {}), [])
    sink.start(0, "train", "features inception", 4096)
    sink.advance(1024)
    sink.stop()
    assert "generation 0/2 · train · features inception · 1,024 of 4,096, about 0:00:0" in capsys.readouterr().err
