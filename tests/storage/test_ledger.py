from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collapse_lab.errors import UserError
from collapse_lab.storage.ledger import Ledger, problems, read, runs_below, to_line
from collapse_lab.types import Record

NAMES = st.text(min_size=1, max_size=12)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def record(generation: int = 0, model: str = "model", **changes: object) -> Record:
    plain = Record(generation, model, {"real": 9, "synthetic": 1}, {"seen/pixels/fid": 0.1}, {"fit": 1.5}, "ok", {}, {})
    return replace(plain, **changes)  # type: ignore[arg-type]


def unsummed(record: Record) -> bytes:
    """Return a line without its sum, as format 1 has it."""
    fields = json.loads(to_line(record))
    del fields["sum"]
    return json.dumps(fields).encode()


UNSUMMED = unsummed(record())

RECORDS = st.builds(
    Record,
    generation=st.integers(0, 5000),
    model=NAMES,
    counts=st.dictionaries(NAMES, st.integers(0, 2**40)),
    metrics=st.dictionaries(NAMES, FINITE),
    seconds=st.dictionaries(NAMES, FINITE),
    status=st.sampled_from(["ok", "diverged"]),
    keys=st.dictionaries(NAMES, st.text() | st.lists(st.text())),
    features=st.dictionaries(NAMES, st.dictionaries(NAMES, st.text() | st.integers() | st.none())),
)


@given(st.lists(RECORDS, max_size=3))
def test_records_are_read_back_exactly(tmp_path_factory: pytest.TempPathFactory, records: list[Record]) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("run") / "ledger.jsonl")
    for one in records:
        ledger.append(one)
    assert Ledger(ledger.path).records() == records


def test_the_fields_of_a_line_and_their_order_are_fixed(tmp_path: Path) -> None:
    assert list(json.loads(to_line(record()))) == [
        "generation",
        "model",
        "counts",
        "metrics",
        "seconds",
        "status",
        "keys",
        "features",
        "sum",
    ]


def test_a_changed_line_is_refused_by_its_sum_and_a_line_of_format_1_has_none(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    line = to_line(record())
    path.write_bytes(line.replace(b'"real": ', b'"real": 1'))
    with pytest.raises(UserError, match=r"line 1 is not a record: the line does not have its `sum`"):
        read(path)
    path.write_bytes(line[: line.index(b', "sum"')] + b"}\n")
    assert read(path) == [record()]


@given(st.data())
def test_a_torn_last_line_is_ignored_and_set_aside(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("run") / "ledger.jsonl"
    ledger = Ledger(path)
    ledger.append(record(0))
    whole = path.read_bytes()
    torn = to_line(record(1))[: data.draw(st.integers(1, len(to_line(record(1))) - 1))]
    path.write_bytes(whole + torn)
    assert read(path) == [record(0)]
    again = Ledger(path)
    assert path.read_bytes() == whole
    assert (path.parent / "ledger.torn").read_bytes() == torn + b"\n"
    again.append(record(1))
    assert read(path) == [record(0), record(1)]


@pytest.mark.parametrize("failing", ["write", "fsync"])
def test_a_full_disk_harms_no_committed_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append(record(0))
    before = ledger.path.read_bytes()
    real_write = os.write

    def full(descriptor: int, content: bytes = b"") -> int:
        if len(content) > 10:
            return real_write(descriptor, content[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, failing, full)
        with pytest.raises(OSError, match="No space left"):
            ledger.append(record(1))
    assert ledger.path.read_bytes() == before
    ledger.append(record(1))
    assert ledger.records() == [record(0), record(1)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_not_finite_is_never_written(tmp_path: Path, value: float) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    with pytest.raises(ValueError, match="'all/kid' of generation 3"):
        ledger.append(record(3, metrics={"all/kid": value}))
    assert ledger.path.read_bytes() == b""


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"",
        b'{"generation": 0}',
        UNSUMMED.replace(b"0.1", b"NaN"),
        UNSUMMED.replace(b"0.1", b"1e400"),
        UNSUMMED.replace(b"0.1", b"1" + b"0" * 400),
        UNSUMMED.replace(b"0.1", b"null"),
        UNSUMMED.replace(b"0.1", b"true"),
        UNSUMMED.replace(b'"generation": 0', b'"generation": "0"'),
        UNSUMMED.replace(b'"generation": 0', b'"generation": false'),
        UNSUMMED.replace(b'"ok"', b'"well"'),
        UNSUMMED[:-1] + b', "more": 1}',
        to_line(record()).replace(b"0.1", b"0.2").strip(),
    ],
)
def test_a_corrupt_line_is_named_by_its_number(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(to_line(record(0)) + line + b"\n" + to_line(record(2)))
    with pytest.raises(UserError, match=r"ledger\.jsonl, line 2"):
        read(path)


def test_a_missing_ledger_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no ledger can be read"):
        read(tmp_path / "ledger.jsonl")


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], None),
        ([record(0), record(1)], None),
        ([record(0, "a"), record(0, "b"), record(1, "a"), record(1, "b")], None),
        ([record(0), record(0)], "there twice"),
        ([record(0), record(2)], "where generation 1 was due"),
        ([record(1)], "where generation 0 was due"),
        ([record(0, "a"), record(1, "a"), record(0, "b")], "comes after generation 1"),
        ([record(0, status="diverged"), record(1)], "follows a diverged one"),
        ([record(0, counts={"real": -1})], "-1 real rows"),
    ],
)
def test_each_problem_of_a_chain_is_one_sentence(records: list[Record], expected: str | None) -> None:
    sentences = problems(records)
    assert sentences == [] if expected is None else len(sentences) == 1 and expected in sentences[0]


def test_runs_are_found_without_entering_hidden_folders(tmp_path: Path) -> None:
    for folder in ("a/1", "a/2", "b", ".store/x"):
        Ledger(tmp_path / folder / "ledger.jsonl")
    assert runs_below(tmp_path) == [tmp_path / "a/1", tmp_path / "a/2", tmp_path / "b"]
    assert runs_below(tmp_path / "b" / "ledger.jsonl") == [tmp_path / "b"]
    with pytest.raises(UserError, match="is not there"):
        runs_below(tmp_path / "c")
