"""Every number of a collection as comma-separated values: exact in a file, rounded and packed in the page."""

from __future__ import annotations

import csv
import gzip
import io
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collapse_lab.errors import UserError
from collapse_lab.results.collect import Collection
from collapse_lab.results.run import Run
from collapse_lab.types import Record

if TYPE_CHECKING:
    import pandas as pd

MOST_NUMBERS = 800_000  # a number takes about four bytes in the page
DIGITS = 6


@dataclass(frozen=True)
class Packed:
    """Hold the CSV that a reader can download from the page.

    Attributes:
        uri: The CSV, compressed with gzip, as a data: URI. The page unpacks it where the browser can.
        description: What the CSV holds, for the reader.
    """

    uri: str
    description: str


def packed(collection: Collection) -> Packed:
    """Return the CSV for the page, every number with six digits.

    Args:
        collection: The runs of the page.

    Returns:
        The download. It holds the last generation of each run alone where all generations would make the page too
        large.
    """
    columns = len({key for run in collection.runs for record in run.records for key in record.metrics})
    every_generation = columns * sum(len(run.records) for run in collection.runs) <= MOST_NUMBERS
    rows = _rows(collection, last_only=not every_generation)
    text = _csv_text({key: _rounded(value) for key, value in row.items()} for row in rows)
    # Because gzip writes no time stamp here, the same ledgers give the same page.
    uri = "data:application/gzip;base64," + b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()
    which = "every generation" if every_generation else "the last generation of each run"
    return Packed(uri, f"Every number of {which}, to {DIGITS} digits")


def write_csv(collection: Collection, path: Path) -> Path:
    """Write every record of every run as CSV; a float reads back as exactly the same float.

    Args:
        collection: The runs to write.
        path: The file to write.

    Returns:
        `path`.

    Raises:
        UserError: `path` cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_csv_text(_rows(collection)), encoding="utf-8", newline="")
    except OSError as error:
        raise UserError(f"the numbers cannot be written to '{path}': {error.strerror}") from error
    return path


def check_suffix(path: Path) -> None:
    """Refuse a table whose name says no format.

    Raises:
        UserError: the name does not end in .csv or .parquet.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise UserError(f"a table is written as .csv or .parquet, and '{path}' is neither")


def write_frame(frame: pd.DataFrame, path: Path) -> Path:
    """Write a table as CSV or Parquet, as its name says, and return its path.

    Args:
        frame: The table.
        path: The file to write.

    Raises:
        UserError: the file cannot be written, or Parquet is asked for and pyarrow is not installed.
    """
    check_suffix(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".csv":
            frame.to_csv(path, index=False)
        else:
            # Because a setting may be a number in one run and a text in another, which no column of Parquet may be
            mixed = [name for name in frame if frame[name].dtype == object]
            frame.assign(**{name: frame[name].map(str) for name in mixed}).to_parquet(path, index=False)
    except ImportError as error:
        raise UserError(f"'{path}' needs pyarrow: pip install 'collapse-lab[hub]', or name the file .csv") from error
    except OSError as error:
        raise UserError(f"the table cannot be written to '{path}': {error.strerror or error}") from error
    return path


def _csv_text(rows: Iterable[dict[str, Any]]) -> str:
    rows = list(rows)
    buffer = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.writer(buffer)
    writer.writerow(columns)
    writer.writerows([row.get(key, "") for key in columns] for row in rows)
    return buffer.getvalue()


def _rows(collection: Collection, last_only: bool = False) -> list[dict[str, Any]]:
    return [
        _row(collection, run, record)
        for run in collection.runs
        for record in run.records
        if not last_only or record.generation == run.last
    ]


def _row(collection: Collection, run: Run, record: Record) -> dict[str, Any]:
    return {
        "experiment": run.name,
        "signature": run.signature,
        **{setting: run.flat.get(setting, "") for setting in collection.settings if setting != "name"},
        "seed": run.seed,
        "generation": record.generation,
        "model": record.model,
        "status": record.status,
        **record.counts,
        **record.metrics,
        **{f"seconds_{phase}": seconds for phase, seconds in record.seconds.items()},
    }


def _rounded(value: Any) -> Any:
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else value
