"""Keep the ledger of a run: JSON lines that are only appended. Sinks and reports are made from it."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from collapse_lab.errors import UserError
from collapse_lab.storage.files import sync
from collapse_lab.types import Record

LEDGER = "ledger.jsonl"
_FIELDS: dict[str, type] = {
    "generation": int,
    "model": str,
    "counts": dict,
    "metrics": dict,
    "seconds": dict,
    "status": str,
    "keys": dict,
    "features": dict,
}
_SUM = re.compile(rb', "sum": "([0-9a-f]{16})"}$')
assert set(_FIELDS) == {f.name for f in fields(Record)}

log = logging.getLogger(__name__)


class Ledger:
    """Append records to a file.

    A line is committed once its newline is written. The death of the process loses no committed line. A power cut loses
    no line up to the last durable one. A process that is killed in the middle of a write leaves a part of a line.
    Opening the ledger removes these bytes from it, and keeps them in `ledger.torn` beside it.

    Args:
        path: the file; it is made, with its folder, where it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        _mend(self.path)
        sync(self.path.parent)

    def append(self, record: Record, durable: bool = True) -> None:
        """Write one line.

        If the line cannot be written, the file is as long as it was before.

        Args:
            record: what to write.
            durable: whether this line, and all lines before it, are on disk before the call returns.

        Raises:
            ValueError: a number is not finite. A metric without a value has to be left out of its record.
            OSError: the disk is full or cannot be reached; every line before this one is unharmed.
        """
        line = to_line(record)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            before = os.fstat(descriptor).st_size
            try:
                _write_all(descriptor, line)
                if durable:
                    os.fsync(descriptor)
            except BaseException:
                os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)

    def sync(self) -> None:
        """Wait until every line is on disk."""
        sync(self.path)

    def records(self) -> list[Record]:
        """Return every committed record, oldest first."""
        return read(self.path)


def to_line(record: Record) -> bytes:
    """Return the line of a record, with its newline. A float is read back as the same float.

    The last field, `sum`, holds 16 hex digits of SHA-256 over the line without it, so that a damaged line is noticed.

    Raises:
        ValueError: a number is NaN or infinite, which JSON does not have.
    """
    for numbers in (record.metrics, record.seconds):
        for name, value in numbers.items():
            if not math.isfinite(value):
                raise ValueError(f"'{name}' of generation {record.generation} is {value}: leave it out instead")
    content = json.dumps(vars(record), allow_nan=False, default=_plain).encode()
    return content[:-1] + b', "sum": "' + _sum(content) + b'"}\n'


def read(path: Path) -> list[Record]:
    """Return every committed record of a ledger, oldest first; an unfinished last line is left out.

    Args:
        path: the ledger's file, which is not changed.

    Raises:
        UserError: there is no such file, or a committed line is not a record.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"no ledger can be read at '{path}': {error.strerror}") from error
    committed = content[: content.rfind(b"\n") + 1]
    return [_parse(line, path, number) for number, line in enumerate(committed.split(b"\n")[:-1], start=1)]


def problems(records: Sequence[Record]) -> list[str]:
    """Return what is wrong with a chain of records, one sentence for each problem; an empty list for a sound chain.

    In a sound chain, generations never go back, each model has each generation from 0 on once, counts are not negative,
    and no generation of a model follows one that diverged.
    """
    sentences: list[str] = []
    last: dict[str, Record] = {}
    seen: set[tuple[int, str]] = set()
    latest = 0
    for record in records:
        g, model = record.generation, record.model
        where = f"generation {g} of '{model}'"
        expected = last[model].generation + 1 if model in last else 0
        if (g, model) in seen:
            sentences.append(f"{where} is there twice")
        elif g < latest:
            sentences.append(f"{where} comes after generation {latest}")
        elif g != expected:
            sentences.append(f"{where} comes where generation {expected} was due")
        if model in last and last[model].status == "diverged":
            sentences.append(f"{where} follows a diverged one")
        sentences += [f"{where} has {n} {kind} rows" for kind, n in record.counts.items() if n < 0]
        seen.add((g, model))
        last[model] = record
        latest = max(latest, g)
    return sentences


def runs_below(path: Path) -> list[Path]:
    """Return the folders at or below a path that hold a ledger, sorted.

    Hidden folders, such as the store, are not entered, and neither are folders inside a run.

    Args:
        path: a folder, or a ledger itself.

    Raises:
        UserError: there is no such path.
    """
    path = Path(path)
    if path.name == LEDGER and path.is_file():
        return [path.parent]
    if not path.is_dir():
        raise UserError(f"expected a run folder or a folder of runs, and '{path}' is not there")
    folders: list[Path] = []
    for folder, below, files in os.walk(path):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if LEDGER in files:
            folders.append(Path(folder))
            below.clear()
    return sorted(folders)


def _parse(line: bytes, path: Path, number: int) -> Record:
    try:
        values = json.loads(_verified(line), parse_constant=_refuse)
        if not isinstance(values, dict) or values.keys() != _FIELDS.keys():
            raise ValueError(f"expected an object with {', '.join(_FIELDS)}")
        for name, kind in _FIELDS.items():
            if not isinstance(values[name], kind) or isinstance(values[name], bool):
                raise ValueError(f"'{name}' should be of type {kind.__name__}")
        for name in ("counts", "metrics", "seconds"):
            if not _are_finite(values[name].values()):
                raise ValueError(f"'{name}' should hold finite numbers")
        if values["status"] not in ("ok", "diverged"):
            raise ValueError(f"'status' should be ok or diverged, and is '{values['status']}'")
    except ValueError as error:
        raise UserError(
            f"{path}, line {number} is not a record: {error}. "
            "Restore the file, or delete it: what the store has is not computed again"
        ) from error
    return Record(**values)


def _sum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest()[:16].encode()


def _verified(line: bytes) -> bytes:
    """Return a line without its sum; a line of format 1 has none, and is returned as it is.

    Raises:
        ValueError: the sum is another line's.
    """
    match = _SUM.search(line)
    if match is None:
        return line
    content = line[: match.start()] + b"}"
    if _sum(content) != match[1]:
        raise ValueError("the line does not have its `sum`: it was damaged or changed by hand")
    return content


def _are_finite(values: Collection[object]) -> bool:
    """Return whether all values are numbers that a float can hold. JSON reads 1e400 as infinity. True is no number."""
    # Because a long ledger has millions of numbers, ask for their types and ranges without a call of ours for each
    if not set(map(type, values)) <= {int, float}:
        return False
    try:
        return all(map(math.isfinite, cast("Collection[float]", values)))
    except OverflowError:  # because it is a whole number beyond what a float holds
        return False


def _mend(path: Path) -> None:
    """Move the bytes after the last newline to `ledger.torn`."""
    content = path.read_bytes()
    committed = content.rfind(b"\n") + 1
    torn = content[committed:]
    if not torn:
        return
    # Keep the bytes before they are removed, so that a kill between the two steps loses none
    with (path.parent / "ledger.torn").open("ab") as aside:
        aside.write(torn + b"\n")
        aside.flush()
        os.fsync(aside.fileno())
    with path.open("r+b") as ledger:
        ledger.truncate(committed)
        os.fsync(ledger.fileno())
    log.warning("the last line of %s was not written to its end; its %d bytes are in ledger.torn", path, len(torn))


def _write_all(descriptor: int, content: bytes) -> None:
    # Because a nearly full disk takes a part of the line and reports success, write until nothing is left
    while content:
        content = content[os.write(descriptor, content) :]


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):  # because it is a scalar of NumPy or torch
        return value.item()
    raise TypeError(f"a ledger holds plain numbers, texts, lists and dictionaries, not {type(value).__name__}")


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not a number that a ledger holds")
