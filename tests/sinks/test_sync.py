"""`collapse-lab sync` by wandb's real client, to a stand-in for its server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from collapse_lab.cli.sync import MARKER, main
from collapse_lab.sinks.wandb import Wandb
from collapse_lab.types import RunInfo
from tests.sinks.standin import KEY, Server, standing_in
from tests.sinks.test_wandb import contents, mirrors, record

ONE, OTHER = "3fa9c1d2", "77aa00bb"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    with standing_in() as state:
        monkeypatch.setenv("WANDB_BASE_URL", state.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb-config"))
        yield state


def mirrored(folder: Path, signature: str, generations: int, first: int = 0, done: bool = True) -> Wandb:
    """Mirror the generations from `first` on, after those that an earlier process has recorded."""
    folder.mkdir(parents=True, exist_ok=True)
    sink = Wandb()
    sink.open(RunInfo("nepotistic", signature, folder, {"ratio": 0.005}), [record(g) for g in range(first)])
    for generation in range(first, generations):
        sink.record(record(generation))
    if done:
        close(sink, folder)
    return sink


def close(sink: Wandb, folder: Path) -> None:
    """Close a mirror, and wait until wandb's service has written its end."""
    sink.close("ok")
    assert not sink.failed
    assert contents(folder)[2] == 0


def generations(server: Server, run: str, metric: str = "seen/classifier/fid") -> list[int]:
    """Return the generations whose metric has arrived, each as often as it has."""
    return [line["generation"] for line in server.lines(run) if metric in line]


def test_every_metric_of_every_generation_arrives_once(server: Server, tmp_path: Path) -> None:
    mirrored(tmp_path / "one", ONE, 3)
    mirrored(tmp_path / "other", OTHER, 2)
    assert main([str(tmp_path)]) == 0
    assert (generations(server, ONE), generations(server, OTHER)) == ([0, 1, 2], [0, 1])
    fids = [line["seen/classifier/fid"] for line in server.lines(ONE) if "seen/classifier/fid" in line]
    assert fids == [10.0, 11.0, 12.0]
    assert server.closed == {ONE, OTHER}
    assert any(name.startswith("media/table/ledger") for name in server.files)


def test_what_is_uploaded_is_not_sent_again(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mirrored(tmp_path / "one", ONE, 3)
    assert main([str(tmp_path)]) == 0
    asked = server.asked.total()
    assert main([str(tmp_path)]) == 0
    assert server.asked.total() == asked
    assert "1 offline runs, 1 of them uploaded already" in capsys.readouterr().out


def test_a_run_that_went_on_has_each_generation_once(server: Server, tmp_path: Path) -> None:
    mirrored(tmp_path / "one", ONE, 3)
    assert main([str(tmp_path)]) == 0
    mirrored(tmp_path / "one", ONE, 5, first=3)
    assert main([str(tmp_path)]) == 0
    assert generations(server, ONE) == [0, 1, 2, 3, 4]


def test_a_run_that_goes_on_while_it_is_uploaded_has_each_generation_once(server: Server, tmp_path: Path) -> None:
    sink = mirrored(tmp_path / "one", ONE, 2, done=False)
    main([str(tmp_path)])  # whatever it sends by now, the next one completes it
    sink.record(record(2))
    close(sink, tmp_path / "one")
    assert main([str(tmp_path)]) == 0
    assert generations(server, ONE) == [0, 1, 2]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_upload_is_a_failure_that_is_said_and_tried_again(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    mirrored(tmp_path / "one", ONE, 3)
    server.refuse = status
    assert main([str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "uploaded /" not in said.out
    assert "permission denied" in said.err
    assert "the same command again retries them" in said.err.replace("\n", " ")
    server.refuse = 0
    assert main([str(tmp_path)]) == 0
    assert generations(server, ONE) == [0, 1, 2]


@pytest.mark.parametrize("trouble", ["half", "cut"])
def test_an_upload_that_breaks_off_is_a_failure_and_arrives_once_later(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], trouble: str
) -> None:
    mirrored(tmp_path / "one", ONE, 3)
    setattr(server, trouble, True)
    assert main([str(tmp_path), "--patience", "5"]) == 1
    assert "wandb said nothing for 5 seconds" in capsys.readouterr().err
    (mirror,) = mirrors(tmp_path / "one")
    assert not (mirror / MARKER).exists()
    setattr(server, trouble, False)
    assert main([str(tmp_path)]) == 0
    assert generations(server, ONE) == [0, 1, 2]


def test_a_failure_of_one_run_does_not_mark_the_others(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirrored(tmp_path / "one", ONE, 2)
    mirrored(tmp_path / "other", OTHER, 2)
    (mirror,) = mirrors(tmp_path / "other")
    (mirror / f"run-{OTHER}.wandb").write_bytes(b"no run of wandb")
    assert main([str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert OTHER in said.err
    assert generations(server, ONE) == [0, 1]
    assert (mirrors(tmp_path / "one")[0] / MARKER).exists()
    assert not (mirror / MARKER).exists()


def test_a_dry_run_asks_nobody(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mirrored(tmp_path / "one", ONE, 1)
    assert main([str(tmp_path), "--dry-run"]) == 0
    assert "would upload" in capsys.readouterr().out
    assert server.asked.total() == 0


def test_a_missing_folder_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "absent")]) == 2
    assert "is not there" in capsys.readouterr().err


def test_a_client_that_ends_without_a_word_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mirrored(tmp_path / "one", ONE, 1)
    monkeypatch.setattr("collapse_lab.cli.upload.CLIENT", [sys.executable, "-c", "pass"])
    assert main([str(tmp_path)]) == 1
    assert "wandb said nothing and ended" in capsys.readouterr().err
