"""Check what a power cut may cost: with `store.keep=metrics` the generations since the last commit, and no others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from collapse_lab.storage.ledger import Ledger
from collapse_lab.types import Record
from tests.chains import chain
from tests.standins import Chain, StopAt


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the names of the files that are synced, in order."""
    names: list[str] = []
    fsync = os.fsync

    def recording_fsync(descriptor: int) -> None:
        names.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    return names


def record(generation: int) -> Record:
    return Record(generation, "model", {"real": 1}, {}, {}, "ok", {}, {})


def test_a_line_that_need_not_be_durable_is_written_and_not_synced(tmp_path: Path, synced: list[str]) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    synced.clear()
    ledger.append(record(0), durable=False)
    assert synced == []
    assert ledger.records() == [record(0)]
    ledger.append(record(1))
    ledger.append(record(2), durable=False)
    assert synced == ["ledger.jsonl"]
    ledger.sync()
    assert synced == ["ledger.jsonl"] * 2


@pytest.mark.parametrize(
    ("keep", "every", "lines"), [("all", 1, 7), ("last", 1, 7), ("metrics", 1, 7), ("metrics", 3, 3)]
)
def test_lines_are_synced_with_the_generations_that_are_committed(
    tmp_path: Path, synced: list[str], keep: str, every: int, lines: int
) -> None:
    run = Chain(tmp_path, generations=6, keep=keep, every=every)
    ledger = run.ledger  # opened before syncs are counted
    synced.clear()
    run.run()
    assert synced.count(ledger.path.name) == lines + 1  # and once at the end
    # The stages that a line names are on disk before the line
    first = synced.index(ledger.path.name)
    assert "manifest.json" in synced[:first]


def test_lines_are_synced_when_a_run_is_stopped(tmp_path: Path, synced: list[str]) -> None:
    run = Chain(tmp_path, generations=6, keep="metrics", every=50)
    with pytest.raises(KeyboardInterrupt):
        run.run(StopAt(4, "fit"))
    assert synced[-1] == "ledger.jsonl"
    assert len(run.records) == 4


def test_lines_that_were_lost_are_computed_again(tmp_path: Path) -> None:
    args = ["+experiment=recursive_gaussian", "sinks=[]", "generations=12", "model.replicas=7", "store.every=5"]
    whole = [record.metrics for record in chain(tmp_path, *args)]
    path = tmp_path / "ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    for kept in (12, 11, 7, 6, 1, 0):  # before and after the commits of generations 5 and 10
        path.write_bytes(b"".join(lines[:kept]))
        assert [record.metrics for record in chain(tmp_path, *args)] == whole


def test_a_run_forgets_only_what_it_has_committed_itself(tmp_path: Path) -> None:
    Chain(tmp_path, generations=6).run()
    other = Chain(tmp_path, generations=6)
    stored = other.stored("fit")
    other.ledger.path.unlink()
    thrifty = Chain(tmp_path, generations=6, keep="metrics", every=50)
    assert thrifty.run() == "ok"
    assert thrifty.stored("fit") == stored
