"""The event files of TensorBoard, read by TensorBoard itself."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from collapse_lab.errors import UserError
from collapse_lab.sinks.tensorboard import TensorBoard
from tests.sinks.test_fit_curves import STEPS, glance
from tests.sinks.test_wandb import grid, info, record


def test_a_missing_tensorboard_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"pip install 'collapse-lab\[tensorboard\]'"):
        TensorBoard()


def read(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def values(events: Any, name: str) -> list[tuple[int, float]]:
    return [(event.step, round(event.value, 6)) for event in events.Scalars(name)]


def test_generations_and_fits_arrive_once_though_the_run_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed (the extra of that name)")
    first, second = TensorBoard(every=25), TensorBoard(every=25)
    first.open(info(tmp_path), [])
    first.start(0, "model", "fit", STEPS)
    for step in (1, 26, 51):
        first.glance(glance(step))
    first.close("failed")
    second.open(info(tmp_path), [])
    second.start(0, "model", "fit", STEPS)
    for step in (51, 76, 100):  # goes on from a checkpoint
        second.glance(glance(step))
    second.stop()
    second.grid(0, "model", "seen", grid(tmp_path, 0))
    second.record(record(0))
    second.close("ok")
    third = TensorBoard()
    third.open(info(tmp_path), [record(0)])
    third.record(record(1))
    third.close("ok")
    fit, model = read(tmp_path / "tensorboard" / "model-fit-g000"), read(tmp_path / "tensorboard" / "model")
    assert values(fit, "fit/loss") == [(step, round(1 / step, 6)) for step in (1, 26, 51, 76, 100)]
    assert values(model, "seen/classifier/fid") == [(0, 10.0), (1, 11.0)]
    assert values(model, "counts/synthetic") == [(0, 5.0), (1, 5.0)]
    assert [event.step for event in model.Images("grids/seen")] == [0]
    assert "seen/classifier/fid_floor" not in model.Tags()["scalars"]
    third.failed = False
    with caplog.at_level(logging.WARNING):
        third.grid(0, "model", "seen", tmp_path / "none.png")
    assert third.failed
    assert "TensorBoard is off for the rest of this run" in caplog.text
