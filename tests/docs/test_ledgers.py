"""The ledgers behind the published tables: they come back as they were packed, and give the published judgements."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from collapse_lab.verify.__main__ import main as verify
from tests.verify.made import sweep, write

# By name, because mypy knows a file of docs/ as a module of no package, as the hooks of the site import each other
ledgers = importlib.import_module("docs.ledgers")
main, KEPT, SUFFIX = ledgers.main, ledgers.KEPT, ledgers.SUFFIX


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_packed_comes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs, kept = sweep(tmp_path / "nepotistic", {0: [1.0, 1.1]}, "generations=1"), tmp_path / "kept"
    (next(runs.iterdir()) / "report.html").write_text("a page")
    kept.mkdir()
    assert main(["--kept", str(kept), "pack", str(runs)]) == 0
    assert "2 runs, 2 of them new" in capsys.readouterr().out
    assert main(["--kept", str(kept), "unpack", str(tmp_path / "back")]) == 0
    expected = {name: data for name, data in _files(tmp_path).items() if name.startswith("nepotistic/")}
    back = _files(tmp_path / "back")
    assert back == {name: data for name, data in expected.items() if not name.endswith("report.html")}
    assert len(back) == 4


def test_a_run_that_is_not_over_is_left_out_and_one_that_is_kept_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, line = tmp_path / "kept", ["+experiment=nepotistic", "generations=1"]
    kept.mkdir()
    write(tmp_path / "first", line, 0, [1.0, 2.0])
    write(tmp_path / "first", [*line, "ratio=1"], 0, [1.0])
    assert main(["--kept", str(kept), "pack", str(tmp_path / "first")]) == 0
    packed = _files(kept)
    write(tmp_path / "again", line, 0, [1.0, 3.0])
    assert main(["--kept", str(kept), "pack", str(tmp_path / "again")]) == 0
    assert _files(kept) == packed
    assert "1 runs, 0 of them new" in capsys.readouterr().out


def test_a_damaged_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / f"nepotistic{SUFFIX}").write_bytes(b"not a tar")
    assert main(["--kept", str(tmp_path), "unpack", str(tmp_path / "back")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_the_published_judgements_are_those_of_the_ledgers(tmp_path: Path) -> None:
    assert main(["unpack", str(tmp_path / "runs")]) == 0
    verify([str(tmp_path / "runs"), "--json", str(tmp_path / "anew.json")])
    judged, published = (
        {(one["paper"], one["id"]): one for one in json.loads(path.read_text())}
        for path in (tmp_path / "anew.json", KEPT.parent / "claims.json")
    )
    from_ledgers = [key for key, one in judged.items() if one["n"] and one["n"] == published[key]["n"]]
    assert from_ledgers
    for key in from_ledgers:
        assert judged[key]["runs"] == published[key]["runs"]
        assert judged[key]["verdict"] == published[key]["verdict"]
        for number in ("value", "lo", "hi"):
            assert judged[key][number] == pytest.approx(published[key][number])
