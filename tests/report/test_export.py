from __future__ import annotations

import csv
import gzip
import io
from base64 import b64decode
from pathlib import Path

import pytest

from collapse_lab.errors import UserError
from collapse_lab.report import export
from collapse_lab.report.__main__ import main
from collapse_lab.report.export import packed, write_csv
from collapse_lab.results.collect import Collection, collect
from tests.report.run_folders import write_run


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    root = tmp_path_factory.mktemp("runs")
    for ratio in (0.0, 1.0):
        for seed in range(2):
            write_run(root / f"{ratio}-{seed}", ratio, seed, 3, grids=False)
    return collect([root])


def unpacked(uri: str) -> list[dict[str, str]]:
    head, _, body = uri.partition(",")
    assert head == "data:application/gzip;base64"
    return list(csv.DictReader(io.StringIO(gzip.decompress(b64decode(body)).decode())))


def test_the_file_has_every_number_exactly(collection: Collection, tmp_path: Path) -> None:
    rows = list(csv.DictReader(write_csv(collection, tmp_path / "new" / "all.csv").open(newline="")))
    records = [(run, record) for run in collection.runs for record in run.records]
    assert len(rows) == len(records) == 2 * 2 * 4
    for row, (run, record) in zip(rows, records, strict=True):
        assert {key: float(row[key]) for key in record.metrics} == record.metrics
        assert int(row["synthetic"]) == record.counts["synthetic"]
        assert (float(row["ratio"]), int(row["seed"])) == (run.flat["ratio"], run.seed)


def test_the_page_carries_every_number_to_six_digits(collection: Collection) -> None:
    rows = unpacked(packed(collection).uri)
    assert "every generation" in packed(collection).description
    for row, record in zip(rows, [r for run in collection.runs for r in run.records], strict=True):
        for key, value in record.metrics.items():
            assert float(row[key]) == pytest.approx(value, rel=5e-6)


def test_a_page_that_would_be_too_large_has_the_last_generations(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "MOST_NUMBERS", 100)
    rows = unpacked(packed(collection).uri)
    assert [row["generation"] for row in rows] == ["3"] * 4
    assert packed(collection).description == "Every number of the last generation of each run, to 6 digits"


def test_the_same_ledgers_give_the_same_bytes(collection: Collection) -> None:
    assert packed(collection) == packed(collection)


def test_the_command_line_writes_a_csv(
    collection: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = str(collection.runs[0].folder), tmp_path / "numbers.csv"
    assert main([run, "--out", str(tmp_path / "page.html"), "--csv", str(out)]) == 0
    assert len(out.read_text().splitlines()) == 1 + 4
    (tmp_path / "file").touch()
    assert main([run, "--out", str(tmp_path / "page.html"), "--csv", str(tmp_path / "file" / "x.csv")]) == 2
    assert "the numbers cannot be written" in capsys.readouterr().err


def test_a_path_that_cannot_be_written_is_refused(collection: Collection, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        write_csv(collection, tmp_path)
