from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console as Terminal

from collapse_lab.sinks import console
from collapse_lab.sinks.console import Console, closing_table, key_metrics, own_metrics
from collapse_lab.types import Record, RunInfo


def record(generation: int, model: str = "model", status: str = "ok") -> Record:
    names = [f"{s}/{f}/{m}" for s in ("seen", "unseen") for f in ("classifier", "pixels") for m in ("fid", "recall")]
    metrics = dict.fromkeys(names, 10.0 + generation)
    metrics |= {f"{name}{end}": 1.25 for name in names for end in ("_lo", "_hi", "_floor")}
    counts = {"real": 995, "synthetic": 5}
    seconds = {"fit": 2.0, "sample": 1.0, "measure": 0.5}
    return Record(generation, model, counts, metrics, seconds, status, {}, {})  # type: ignore[arg-type]


def test_without_a_terminal_there_is_one_plain_line_per_generation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sink = Console(generations=2)
    sink.open(RunInfo("nepotistic", "a1b2", tmp_path, {}), [record(0)])
    for generation in (1, 2):
        for phase in ("fit", "sample"):
            sink.start(generation, "model", phase, 50)
            for _ in range(50):
                sink.advance()
            sink.stop()
        sink.record(record(generation))
    sink.close("ok")
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    first, *lines = printed.err.splitlines()
    assert "a1b2" in first
    assert "generation 0" in first
    assert [line.split(" · ")[0] for line in lines] == ["generation 1/2", "generation 2/2"]
    assert "995 real + 5 synthetic" in lines[0]
    assert "3.5 s" in lines[0]
    assert all(len(line) <= 100 for line in printed.out.splitlines())
    assert [line.split()[0] for line in printed.out.splitlines() if " 995 " in line] == ["0", "1", "2"]


def test_what_was_read_from_the_store_takes_no_seconds_of_this_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The fit took 2 seconds, the samples 1 and the measuring 0.5; features are measured, and no part of the fit."""
    sink = Console(generations=2)
    sink.open(RunInfo("nepotistic", "a1b2", tmp_path, {}), [])
    sink.start(0, "model", "features classifier", 50)
    sink.record(record(0))
    sink.start(1, "other", "fit", 50)
    sink.record(record(1))
    sink.start(2, "model", "sample seen", 50)
    sink.record(record(2))
    _, *lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(" · ")[2] for line in lines] == [*["from the store, measured in 0.5 s"] * 2, "3.5 s"]


def test_on_a_terminal_there_are_bars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(force_terminal=True, width=120, record=True, file=(tmp_path / "out").open("w"))
    monkeypatch.setattr(console, "Terminal", lambda **_: terminal)
    sink = Console(generations=5)
    sink.open(RunInfo("nepotistic", "a1b2", tmp_path, {}), [record(0), record(1)])
    sink.start(2, "model", "fit", 300)
    sink.advance(120)
    assert sink._bars is not None
    task = sink._bars.tasks[0]
    assert task.description == "generation 2/5 · model · fit"
    assert (task.completed, task.total) == (120, 300)
    assert task.fields["chain"] == "(all: 0:00:14)"
    sink.close("ok")
    assert sink._bars is None


def test_the_console_can_be_closed_in_the_middle_of_a_phase(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sink = Console()
    sink.advance()
    sink.stop()
    sink.open(RunInfo("nepotistic", "a1b2", tmp_path, {}), [])
    sink.start(0, "model", "fit", 10)
    sink.close("interrupted")
    assert "the run ended: interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("models", [("model",), ("a", "a rather long name of a model")])
@pytest.mark.parametrize("status", ["ok", "diverged"])
@pytest.mark.parametrize("generations", [1, 3000])
def test_the_closing_table_fits_a_hundred_columns(models: tuple[str, ...], status: str, generations: int) -> None:
    records = [record(g, m, status) for g in range(generations) for m in models]
    table = closing_table(records)
    terminal = Terminal(width=200)
    assert terminal.measure(table).maximum <= 100
    assert table.row_count <= console.MAX_ROWS + 1
    assert "seen\nclassifier\nfid" in [column.header for column in table.columns]
    assert "1.25" in [column.footer for column in table.columns]


def test_the_closing_table_can_have_no_metric() -> None:
    without_metrics = Record(0, "model", {"real": 1, "synthetic": 0}, {}, {}, "diverged", {}, {})
    assert closing_table([without_metrics]).row_count == 1


def test_the_users_own_metrics_come_after_fid() -> None:
    made = replace(record(0), metrics=record(0).metrics | {"seen/pixels/brightness": 0.5, "seen/pixels/vendi": 3.0})
    config = {
        "metrics": {
            "fid": {"_target_": "collapse_lab.metrics.fid.FID"},
            "vendi": {"_target_": "collapse_lab.metrics.vendi.Vendi"},
            "brightness": {"_target_": "mine.Brightness"},
        }
    }
    own = own_metrics(config)
    assert own == ("brightness",)
    assert "seen/pixels/brightness" in key_metrics([made], own)
    assert not {"seen/pixels/vendi"} & set(key_metrics([made], own))
    assert "seen/pixels/brightness" not in key_metrics([made])
    only = replace(made, metrics={"seen/pixels/brightness": 0.5, "seen/pixels/fid": 1.0, "seen/pixels/recall": 1.0})
    assert key_metrics([only], own) == ["seen/pixels/fid", "seen/pixels/brightness", "seen/pixels/recall"]
