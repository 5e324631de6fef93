"""Every number of a collection as comma-separated values: whole in a file, rounded and packed in the page."""

from __future__ import annotations

import csv
import gzip
import io
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collapse_lab.errors import UserError
from collapse_lab.results.collect import Collection, Run
from collapse_lab.types import Record

# A number takes about four bytes in the page.
MOST_NUMBERS = 800_000
DIGITS = 6


@dataclass(frozen=True)
class Packed:
    """The download of a page.

    uri: gzipped CSV as a data: URI, which the page unpacks where the browser can.
    says: what is in it.
    """

    uri: str
    says: str


def packed(collection: Collection) -> Packed:
    """Six digits of every number; only of the last generation of each run where the page would grow too heavy."""
    columns = len({key for run in collection.runs for record in run.records for key in record.metrics})
    whole = columns * sum(len(run.records) for run in collection.runs) <= MOST_NUMBERS
    rows = _rows(collection, last_only=not whole)
    text = _text({key: _rounded(value) for key, value in row.items()} for row in rows)
    # Without a time stamp the same ledgers give the same page.
    uri = "data:application/gzip;base64," + b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()
    what = "every generation" if whole else "the last generation of each run"
    return Packed(uri, f"Every number of {what}, to {DIGITS} digits")


def write_csv(collection: Collection, path: Path) -> Path:
    """Writes every record of every run to `path`, floats so that they read back the same, and returns `path`.

    Raises:
        UserError: `path` cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_text(_rows(collection)), encoding="utf-8", newline="")
    except OSError as error:
        raise UserError(f"the numbers cannot be written to '{path}': {error.strerror}") from error
    return path


def _text(rows: Iterable[dict[str, Any]]) -> str:
    rows = list(rows)
    buffer = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.writer(buffer)
    writer.writerow(columns)
    writer.writerows([row.get(key, "") for key in columns] for row in rows)
    return buffer.getvalue()


def _rows(collection: Collection, last_only: bool = False) -> list[dict[str, Any]]:
    return [
        _record(collection, run, record)
        for run in collection.runs
        for record in run.records
        if not last_only or record.generation == run.last
    ]


def _record(collection: Collection, run: Run, record: Record) -> dict[str, Any]:
    return {
        "experiment": run.name,
        "signature": run.signature,
        **{knob: run.flat.get(knob, "") for knob in collection.knobs if knob != "name"},
        "seed": run.seed,
        "generation": record.generation,
        "model": record.model,
        "status": record.status,
        **record.counts,
        **record.metrics,
        **{f"seconds_{phase}": spent for phase, spent in record.seconds.items()},
    }


def _rounded(value: Any) -> Any:
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else value
