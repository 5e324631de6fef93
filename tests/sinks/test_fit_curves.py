"""Points of curves within a fit: when they are made, how they are kept, and that mirrors have each once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from collapse_lab.cli.sync import main
from collapse_lab.sinks.fit_curves import GIB, Meter, Point, PointFile, before
from collapse_lab.sinks.wandb import Wandb
from collapse_lab.types import Glance, RunInfo
from tests.sinks.standin import Server
from tests.sinks.test_sync import ONE, close, generations, server  # noqa: F401
from tests.sinks.test_wandb import contents, info, record

STEPS = 100


def glance(step: int, memory: int | None = None) -> Glance:
    return Glance(step, 1 / step, 0.01, 8, "images", memory)


def point(step: int, generation: int = 0, model: str = "model") -> Point:
    return Point(generation, model, step, STEPS, generation, {"loss": 1 / step})


@pytest.mark.parametrize(
    ("every", "steps"), [(1, [1, 26, 51, 76, 100]), (50, [1, 51, 100]), (30, [1, 51, 100]), (None, [])]
)
def test_points_are_so_many_steps_apart_and_the_last_step_is_one(every: int | None, steps: list[int]) -> None:
    meter = Meter(every)
    meter.start(2, "model", "fit", STEPS)
    made = [meter.point(glance(step), 0) for step in (1, 26, 51, 76, 100)]
    assert [point.step for point in made if point is not None] == steps


def test_a_rate_is_images_since_the_last_point_by_the_time_since_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 12.0, 13.0])
    monkeypatch.setattr("collapse_lab.sinks.fit_curves.time.perf_counter", lambda: next(clock))
    meter = Meter(25)
    meter.start(0, "model", "fit", STEPS)
    first, second, third = (meter.point(glance(step, GIB), 0) for step in (1, 26, 51))
    assert first is not None
    assert second is not None
    assert third is not None
    assert first.numbers == {"loss": 1.0, "learning_rate": 0.01, "gpu_memory_gib": 1.0}
    assert second.numbers["images_per_second"] == 25 * 8 / 2
    assert third.numbers["images_per_second"] == 25 * 8 / 1
    assert (first.position, third.position) == (0.0, 0.5)


def test_what_is_no_fit_of_a_model_has_no_points() -> None:
    meter = Meter(1)
    assert meter.point(glance(1), 0) is None
    meter.start(0, "classifier", "features", STEPS)
    assert meter.point(glance(1), 0) is None
    meter.start(0, "model", "fit", STEPS)
    meter.stop()
    assert meter.point(glance(1), 0) is None


def test_a_file_of_points_gives_each_step_once_though_a_fit_repeated_some(tmp_path: Path) -> None:
    file = PointFile(tmp_path / "fits.jsonl")
    assert file.read() == []
    for step in (1, 26, 51):
        file.append(point(step))
    with file.path.open("a") as half:
        half.write('{"generation": 0, "mod')
    assert [p.step for p in file.read()] == [1, 26, 51]
    file.path.write_text(file.path.read_text().rpartition("\n")[0] + "\n")
    for step, generation in ((26, 0), (51, 0), (1, 1)):
        file.append(point(step, generation))
    assert [(p.generation, p.step) for p in file.read()] == [(0, 1), (0, 26), (0, 51), (1, 1)]
    assert [p.step for p in before(file.read(), point(26))] == [1, 1]


def fitted(sink: Wandb, generation: int, steps: Sequence[int], model: str = "model") -> None:
    sink.start(generation, model, "fit", STEPS)
    for step in steps:
        sink.advance(25)
        sink.glance(glance(step))


def losses(rows: Sequence[dict[str, float]], name: str = "fit") -> list[tuple[float, float]]:
    return [(row[f"{name}/generation"], row[f"{name}/loss"]) for row in rows if f"{name}/loss" in row]


def curve(generation: int, steps: Sequence[int] = (1, 51, 100)) -> list[tuple[float, float]]:
    return [(generation + (step - 1) / STEPS, 1 / step) for step in steps]


def test_members_have_curves_of_their_own_with_the_place_in_the_chain_as_their_axis(tmp_path: Path) -> None:
    sink = Wandb()
    sink.open(info(tmp_path, "anna", "bert"), [])
    for generation in range(2):
        for model in ("anna", "bert"):
            fitted(sink, generation, (1, 26, 51, 76, 100), model)
            sink.stop()
            sink.record(record(generation, model))
    sink.close("ok")
    assert not sink.failed
    rows, _, _ = contents(tmp_path)
    assert losses(rows, "anna/fit") == losses(rows, "bert/fit") == curve(0) + curve(1)
    assert [row["generation"] for row in rows if "anna/seen/classifier/fid" in row] == [0, 1]


def stopped_in_the_fit_of_generation_1(sink: Wandb) -> None:
    """Leave a process that records generation 0 and is killed after step 51 of the fit of generation 1."""
    fitted(sink, 0, (1, 51, 100))
    sink.stop()
    sink.record(record(0))
    fitted(sink, 1, (1, 51))


def goes_on_from_the_checkpoint(sink: Wandb) -> None:
    fitted(sink, 1, (51, 100))
    sink.stop()
    sink.record(record(1))


def finds_the_fit_in_the_store(sink: Wandb) -> None:
    sink.glance(glance(100))  # of no fit
    sink.record(record(1))


@pytest.mark.parametrize(
    ("goes_on", "steps"), [(goes_on_from_the_checkpoint, (1, 51, 100)), (finds_the_fit_in_the_store, (1, 51))]
)
def test_a_run_that_is_killed_within_a_fit_and_synced_three_times_has_each_point_and_each_generation_once(
    server: Server,  # noqa: F811
    tmp_path: Path,
    goes_on: Callable[[Wandb], None],
    steps: Sequence[int],
) -> None:
    run = RunInfo("nepotistic", ONE, tmp_path, {})
    sink = Wandb()
    sink.open(run, [])
    stopped_in_the_fit_of_generation_1(sink)
    close(sink, tmp_path)
    assert main([str(tmp_path)]) == 0
    again = Wandb()
    again.open(run, [record(0)])
    goes_on(again)
    close(again, tmp_path)
    for _ in range(2):
        assert main([str(tmp_path)]) == 0
    lines = server.lines(ONE)
    assert losses(lines) == curve(0) + curve(1, steps)
    assert generations(server, ONE) == [0, 1]
