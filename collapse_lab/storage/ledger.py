"""The ledger of a run: append-only JSON lines, the one truth that everything else mirrors."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

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
assert set(_FIELDS) == {f.name for f in fields(Record)}

log = logging.getLogger(__name__)


class Ledger:
    """Appends records to the file at `path`, each committed to disk before `append` returns unless it says otherwise.

    A line is committed once its newline is written: no death of the process loses it. A power cut loses no line up
    to the last durable one. Opening takes away what a kill in the middle of a write
    has left after the last newline, and keeps those bytes in `ledger.torn` beside the ledger.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        _mend(self.path)
        sync(self.path.parent)

    def append(self, record: Record, durable: bool = True) -> None:
        """Writes one line and, if it is to be durable, syncs it and all before it.

        When that fails, the file is as long as it was before.

        Raises:
            ValueError: a number is not finite. A metric without a value is left out of its record.
            OSError: the disk is full or gone; every line before this one is unharmed.
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
        """Waits until every line is on disk."""
        sync(self.path)

    def records(self) -> list[Record]:
        """Every committed record, oldest first."""
        return read(self.path)


def to_line(record: Record) -> bytes:
    """The line of `record`, newline included; a float reads back as the same float.

    Raises:
        ValueError: a number is NaN or infinite, which JSON does not have.
    """
    for part in (record.metrics, record.seconds):
        for name, value in part.items():
            if not math.isfinite(value):
                raise ValueError(f"'{name}' of generation {record.generation} is {value}: leave it out instead")
    return (json.dumps(vars(record), allow_nan=False, default=_plain) + "\n").encode()


def read(path: Path) -> list[Record]:
    """Every committed record of the ledger at `path`, oldest first; a torn last line is left out.

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
    """What is wrong with a chain of records, a sentence each; empty when it is sound.

    Sound is: generations never go back, each model has each generation from 0 once, counts are not negative,
    and nothing follows a generation of a model that diverged.
    """
    found: list[str] = []
    last: dict[str, Record] = {}
    seen: set[tuple[int, str]] = set()
    latest = 0
    for record in records:
        g, model = record.generation, record.model
        where = f"generation {g} of '{model}'"
        expected = last[model].generation + 1 if model in last else 0
        if (g, model) in seen:
            found.append(f"{where} is there twice")
        elif g < latest:
            found.append(f"{where} comes after generation {latest}")
        elif g != expected:
            found.append(f"{where} comes where generation {expected} was due")
        if model in last and last[model].status == "diverged":
            found.append(f"{where} follows a diverged one")
        found += [f"{where} has {n} {kind} rows" for kind, n in record.counts.items() if n < 0]
        seen.add((g, model))
        last[model] = record
        latest = max(latest, g)
    return found


def runs_below(path: Path) -> list[Path]:
    """The folders at or below `path` that hold a ledger, sorted; hidden folders (the store) are not entered.

    Raises:
        UserError: there is no such path.
    """
    path = Path(path)
    if path.name == LEDGER and path.is_file():
        return [path.parent]
    if not path.is_dir():
        raise UserError(f"expected a run folder or a folder of runs, and '{path}' is not there")
    found: list[Path] = []
    for folder, below, files in os.walk(path):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if LEDGER in files:
            found.append(Path(folder))
            below.clear()
    return sorted(found)


def _parse(line: bytes, path: Path, number: int) -> Record:
    try:
        given = json.loads(line, parse_constant=_refuse)
        if not isinstance(given, dict) or given.keys() != _FIELDS.keys():
            raise ValueError(f"expected an object with {', '.join(_FIELDS)}")
        for name, kind in _FIELDS.items():
            if not isinstance(given[name], kind):
                raise ValueError(f"'{name}' should be of type {kind.__name__}")
        for name in ("counts", "metrics", "seconds"):
            if not all(isinstance(value, int | float) for value in given[name].values()):
                raise ValueError(f"'{name}' should hold numbers")
    except ValueError as error:
        raise UserError(
            f"{path}, line {number} is not a record: {error}. "
            "Restore the file, or delete it: what the store has is not computed again"
        ) from error
    return Record(**given)


def _mend(path: Path) -> None:
    content = path.read_bytes()
    committed = content.rfind(b"\n") + 1
    torn = content[committed:]
    if not torn:
        return
    # Kept before it is cut off: a kill between the two leaves the bytes in both places, never in neither.
    with (path.parent / "ledger.torn").open("ab") as aside:
        aside.write(torn + b"\n")
        aside.flush()
        os.fsync(aside.fileno())
    with path.open("r+b") as ledger:
        ledger.truncate(committed)
        os.fsync(ledger.fileno())
    log.warning("the last line of %s was cut off mid-write; its %d bytes are in ledger.torn", path, len(torn))


def _write_all(descriptor: int, content: bytes) -> None:
    # A nearly full disk takes a part of the line and reports success; only the next write raises.
    while content:
        content = content[os.write(descriptor, content) :]


def _plain(value: Any) -> Any:
    # numpy and torch scalars
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"a ledger holds plain numbers, texts, lists and dictionaries, not {type(value).__name__}")


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not a number that a ledger holds")
