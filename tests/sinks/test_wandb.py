from __future__ import annotations

import json
import logging
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from collapse_lab.sinks.wandb import Wandb
from collapse_lab.types import Record, RunInfo

SIGNATURE = "3fa9c1d2"


def record(generation: int, model: str = "model") -> Record:
    metrics = {"seen/classifier/fid": 10.0 + generation, "seen/classifier/fid_floor": 7.0}
    counts = {"real": 995, "synthetic": 5}
    return Record(generation, model, counts, metrics, {"fit": 1.0 + generation}, "ok", {}, {})


def info(folder: Path, *members: str) -> RunInfo:
    population: Any = {"members": {name: {} for name in members or ("model",)}}
    config = {"ratio": 0.005, "mixing": {"kind": "contaminate"}, "population": population}
    return RunInfo("nepotistic", SIGNATURE, folder, config)


def grid(folder: Path, generation: int, model: str = "model") -> Path:
    path = folder / "grids" / "seen" / f"{model}-g{generation:03d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), 9 * generation, np.uint8)).save(path)
    return path


def mirrors(folder: Path) -> list[Path]:
    return sorted((folder / "wandb").glob("offline-run-*"))


def entries(content: bytes) -> Iterator[bytes]:
    """Yield the entries of a .wandb file: LevelDB's log format, in blocks of 32 KiB, after a header of 7 bytes."""
    block, header = 32768, struct.Struct("<IHB")
    offset, entry = 7, b""
    while offset + header.size <= len(content):
        left = block - offset % block
        if left < header.size:
            offset += left
            continue
        _, length, kind = header.unpack_from(content, offset)
        if offset + header.size + length > len(content):  # wandb is still writing this entry
            return
        entry += content[offset + header.size : offset + header.size + length]
        offset += header.size + length
        if kind in (1, 4):  # a complete entry, or the last piece of one
            yield entry
            entry = b""


def contents(folder: Path) -> tuple[list[dict[str, Any]], Any, int | None]:
    """Return (history rows, the run's own entry, exit code) of the only mirror in `folder`.

    wandb's service may still be writing when `finish` returns, so wait for the entry of the exit.
    """
    deadline = time.monotonic() + 30
    while (parsed := parse(folder))[2] is None and time.monotonic() < deadline:
        time.sleep(0.1)
    return parsed


def parse(folder: Path) -> tuple[list[dict[str, Any]], Any, int | None]:
    from wandb.proto import wandb_internal_pb2

    (mirror,) = mirrors(folder)
    (path,) = mirror.glob("*.wandb")
    rows: list[dict[str, Any]] = []
    run, code = None, None
    for data in entries(path.read_bytes()):
        entry = wandb_internal_pb2.Record()
        entry.ParseFromString(data)
        kind = entry.WhichOneof("record_type")
        if kind == "history":
            items = entry.history.item
            rows.append({i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items})
        elif kind == "run":
            run = entry.run
        elif kind == "exit":
            code = entry.exit.exit_code
    return rows, run, code


def values(rows: list[dict[str, Any]], key: str) -> list[tuple[int, Any]]:
    return [(row["generation"], row[key]) for row in rows if key in row]


def test_every_number_is_sent_once_with_its_generation(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sink = Wandb()
    sink.open(info(tmp_path), [])
    for generation in range(3):
        sink.grid(generation, "model", "seen", grid(tmp_path, generation))
        sink.record(record(generation))
    sink.close("ok")
    assert not sink.failed
    rows, run, code = contents(tmp_path)
    assert (run.run_id, run.run_group, run.project) == (SIGNATURE, "nepotistic", "collapse_lab")
    assert code == 0
    for key in record(0).metrics:
        assert values(rows, key) == [(g, record(g).metrics[key]) for g in range(3)], key
    assert values(rows, "seconds/fit") == [(g, 1.0 + g) for g in range(3)]
    assert values(rows, "counts/synthetic") == [(g, 5) for g in range(3)]
    assert [g for g, _ in values(rows, "grids/seen/model/_type")] == [0, 1, 2]
    assert sum("ledger/_type" in row for row in rows) == 1
    out, err = capfd.readouterr()
    assert out + err == ""


def test_a_resumed_run_has_one_mirror_with_all_records_and_grids(tmp_path: Path) -> None:
    first = Wandb()
    first.open(info(tmp_path), [])
    first.grid(0, "model", "seen", grid(tmp_path, 0))
    first.record(record(0))
    first.close("failed")
    assert contents(tmp_path)[2] == 1
    grid(tmp_path, 1)  # a process drew it and was killed before it wrote the record
    second = Wandb()
    second.open(info(tmp_path), [record(0)])
    second.grid(1, "model", "seen", grid(tmp_path, 1))
    second.record(record(1))
    second.close("ok")
    rows, _, code = contents(tmp_path)
    assert values(rows, "seen/classifier/fid") == [(0, 10.0), (1, 11.0)]
    assert [g for g, _ in values(rows, "grids/seen/model/_type")] == [0, 1]
    assert code == 0


def test_models_of_a_population_do_not_overwrite_each_other(tmp_path: Path) -> None:
    sink = Wandb()
    sink.open(info(tmp_path, "anna", "bert"), [])
    for generation in range(2):
        for model in ("anna", "bert"):
            sink.record(record(generation, model))
    sink.close("ok")
    rows, _, _ = contents(tmp_path)
    for key in ("anna/seen/classifier/fid", "bert/seen/classifier/fid"):
        assert values(rows, key) == [(0, 10.0), (1, 11.0)]
    assert values(rows, "seen/classifier/fid") == []


def test_a_failure_gives_one_warning_and_turns_the_sink_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import wandb

    def broken(**_: object) -> None:
        raise TimeoutError("nobody answers")

    monkeypatch.setattr(wandb, "init", broken)
    sink = Wandb()
    with caplog.at_level(logging.WARNING):
        sink.open(info(tmp_path), [])
        sink.record(record(0))
        sink.grid(0, "model", "seen", tmp_path / "none.png")
        sink.close("ok")
    assert sink.failed
    assert [r.getMessage() for r in caplog.records if "Weights & Biases" in r.getMessage()] == [
        "Weights & Biases is off for the rest of this run (TimeoutError: nobody answers)"
    ]


def test_a_failure_in_the_middle_of_a_run_ends_the_wandb_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Wandb()
    sink.open(info(tmp_path), [])
    sink.grid(0, "model", "seen", tmp_path / "none.png")
    assert sink.failed
    sink.close("ok")
    assert sink._run is None
