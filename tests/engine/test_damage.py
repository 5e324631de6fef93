"""Damaged stores and ledgers: the run comes out as if nothing had happened, or it refuses; never another ledger."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from collapse_lab.engine.run import check_records
from collapse_lab.errors import UserError
from collapse_lab.types import Record
from tests.standins import Chain

Draw = Callable[[st.SearchStrategy[Any]], Any]


def chain(folder: Path) -> Chain:
    return Chain(folder, generations=2, n=20)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clean")
    assert chain(folder).run() == "ok"
    other = Chain(folder / "other", generations=2, n=20, seed=1)
    assert other.run() == "ok"
    shutil.rmtree(folder / "other" / "store")  # because only its ledger is read, and each test copies the folder
    return folder


def continued(folder: Path) -> list[Record]:
    """Return the ledger after the same command was given again."""
    again = chain(folder)
    check_records(again.ledger.records(), again.layout().plan, again.ledger.path)
    assert again.run() == "ok"
    return again.records


def flip(path: Path, draw: Draw) -> None:
    content = bytearray(path.read_bytes())
    if content:
        content[draw(st.integers(0, len(content) - 1))] ^= 1 << draw(st.integers(0, 7))
        path.write_bytes(content)


def truncate(path: Path, draw: Draw) -> None:
    path.write_bytes(path.read_bytes()[: draw(st.integers(0, max(0, path.stat().st_size - 1)))])


def remove(path: Path, draw: Draw) -> None:
    path.unlink()


def become_a_folder(path: Path, draw: Draw) -> None:
    path.unlink()
    path.mkdir()


def hold_other_tensors(path: Path, draw: Draw) -> None:
    save_file({"data": torch.zeros(3)}, path)


def hold_another_type(path: Path, draw: Draw) -> None:
    path.write_text(draw(st.sampled_from(["[]", "3", "null", '"text"', "{}", '{"files": {}}'])))


FILE_DAMAGES = (flip, truncate, remove, become_a_folder, hold_other_tensors, hold_another_type)


def list_no_files(store: Path, entry: Path, draw: Draw) -> None:
    manifest = json.loads((entry / "manifest.json").read_text())
    (entry / "manifest.json").write_text(json.dumps({**manifest, "files": {}}))


def swap_entries(store: Path, entry: Path, draw: Draw) -> None:
    others = sorted(path for path in entry.parents[1].glob("*/*") if path != entry)
    other = draw(st.sampled_from(others))
    aside = store / "aside"
    entry.rename(aside)
    other.rename(entry)
    aside.rename(other)


def swap_tensors(store: Path, entry: Path, draw: Draw) -> None:
    others = sorted(path for path in entry.parents[1].glob("*/*/tensors.safetensors") if path.parent != entry)
    if others and (entry / "tensors.safetensors").exists():
        shutil.copy(draw(st.sampled_from(others)), entry / "tensors.safetensors")


def damage_a_file(store: Path, entry: Path, draw: Draw) -> None:
    path = draw(st.sampled_from(sorted(path for path in entry.iterdir() if path.is_file())))
    draw(st.sampled_from(FILE_DAMAGES))(path, draw)


STORE_DAMAGES = (list_no_files, swap_entries, swap_tensors, damage_a_file)


def damage_store(folder: Path, draw: Draw) -> None:
    """Damage an entry, and take lines off the ledger, so that the entry is needed again."""
    store = folder / "store"
    entries = sorted(path.parent for path in store.glob("*/*/*/manifest.json") if ".tmp" not in path.parts)
    many = [entry for entry in entries if len(list(entry.parents[1].glob("*/*"))) > 1]
    draw(st.sampled_from(STORE_DAMAGES))(store, draw(st.sampled_from(many)), draw)
    ledger = folder / "ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[: draw(st.integers(0, len(lines) - 1))]))


def damage_ledger(folder: Path, draw: Draw) -> None:
    path = folder / "ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    number = draw(st.integers(0, len(lines) - 1))
    kind = draw(st.sampled_from(["flip", "truncate", "twice", "swap", "missing", "foreign", "value"]))
    if kind == "flip":
        return flip(path, draw)
    if kind == "truncate":
        return truncate(path, draw)
    if kind == "twice":
        lines.insert(draw(st.integers(0, len(lines))), lines[number])
    elif kind == "swap":
        lines[number], lines[number - 1] = lines[number - 1], lines[number]
    elif kind == "missing":
        del lines[number]
    elif kind == "foreign":
        lines[number] = (folder / "other" / "ledger.jsonl").read_bytes().splitlines(keepends=True)[number]
    else:
        record = json.loads(lines[number])
        name = draw(st.sampled_from(sorted(record)))
        value = draw(st.sampled_from([99, -1, None, "weird", [], {}, True, {"a": "@"}]))
        lines[number] = (json.dumps({**record, name: value}) + "\n").replace('"@"', "1e400").encode()
    path.write_bytes(b"".join(lines))
    return None


@settings(max_examples=40, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_run_is_equal_or_refused(clean: Path, data: st.DataObject) -> None:
    check_damaged(clean, data)


@pytest.mark.slow  # because the test before it draws such damages too
@settings(max_examples=200, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_many_damaged_runs_are_equal_or_refused(clean: Path, data: st.DataObject) -> None:
    check_damaged(clean, data)


def check_damaged(clean: Path, data: st.DataObject) -> None:
    """Damage a copy of a run as the data say, and give its command again."""
    expected = chain(clean).records
    with TemporaryDirectory() as scratch:
        folder = Path(shutil.copytree(clean, Path(scratch) / "run"))
        data.draw(st.sampled_from([damage_store, damage_ledger]))(folder, data.draw)
        try:
            records = continued(folder)
        except UserError:
            return
        assert records == expected


def test_two_swapped_fits_are_set_aside_and_computed_again(clean: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(clean, tmp_path / "run"))
    expected = chain(folder).records
    fits = [record.keys["fit"] for record in expected[:2]]
    one, other = (folder / "store" / "fit" / key[:2] / key for key in fits)
    one.rename(folder / "aside")
    other.rename(one)
    (folder / "aside").rename(other)
    shutil.rmtree(folder / "store" / "sample")
    (folder / "ledger.jsonl").unlink()
    assert continued(folder) == expected
    assert len(list((folder / "store" / ".aside").iterdir())) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [lines[0], *lines], "line 2 is generation 0 .* where generation 1"),
        (lambda lines: [lines[1], lines[0], lines[2]], "line 1 is generation 1 .* where generation 0"),
        (lambda lines: lines[1:], "line 1 is generation 1 .* where generation 0"),
        (lambda lines: [*lines, lines[2]], "line 4 is one line more than the run's 3 steps"),
    ],
)
def test_a_ledger_that_is_not_the_beginning_of_the_plan_is_refused(
    clean: Path, tmp_path: Path, change: Callable[[list[str]], list[str]], message: str
) -> None:
    folder = Path(shutil.copytree(clean, tmp_path / "run"))
    path = folder / "ledger.jsonl"
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))
    with pytest.raises(UserError, match=message):
        continued(folder)


def test_a_line_of_another_run_is_refused(clean: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(clean, tmp_path / "run"))
    shutil.copy(folder / "other" / "ledger.jsonl", folder / "ledger.jsonl")
    with pytest.raises(UserError, match="line 1 rests on other stages than this run has"):
        continued(folder)
