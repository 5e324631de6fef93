"""`collapse-lab dashboard`: what it prints, what it saves at a stand-in for the server, and what it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml

from collapse_lab.cli.dashboard import main
from tests.report.run_folders import write_sweep
from tests.sinks.standin import Server
from tests.sinks.test_sync import server  # noqa: F401


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sweep(tmp_path_factory.mktemp("runs"), ratios=(0, 1), seeds=2)


def test_a_dry_run_prints_the_dashboard_without_the_package(
    sweep: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("wandb", "wandb_workspaces"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["me/lab", str(sweep), "--dry-run"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert (printed["entity"], printed["project"], printed["groups"]) == ("me", "lab", ["ratio"])
    assert [part["section"] for part in printed["sections"]] == [
        "Over the generations",
        "Dose and response",
        "What was generated",
        "Where training rows come from",
        "Texts and numbers",
    ]
    assert any("FID" in sentence for sentence in printed["text"])


def test_the_package_that_is_missing_is_named(
    sweep: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    assert main(["me/lab", str(sweep)]) == 2
    assert "pip install 'collapse-lab[dashboard]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lab"], "expected ENTITY/PROJECT, such as my-team/collapse_lab, and got 'lab'"),
        (["me/lab", "nowhere"], "nowhere"),
        (["me/lab", "--agents", "ratio=0"], "a sweep has a key with several values"),
        (["me/lab", "--agents", "ratio=[0"], "write KEY=VALUE"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_the_sweep_of_agents_has_the_command_and_every_value(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["+experiment=nepotistic", "ratio=0,0.5", "seed=range(2)", "mixing=replace,fresh", "n_train={first:9}"]
    assert main(["me/lab", "--agents", *line]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["method"] == "grid"
    assert printed["command"] == [
        "collapse-lab",
        "+experiment=nepotistic",
        "n_train={first:9}",
        "sinks.wandb.project=lab",
        "sinks.wandb.entity=me",
        "sinks.wandb.mode=online",
        "${args_no_hyphens}",
    ]
    assert printed["parameters"] == {
        "ratio": {"values": [0, 0.5]},
        "seed": {"values": [0, 1]},
        "mixing": {"values": ["replace", "fresh"]},
    }


def test_a_view_and_a_report_are_saved(
    server: Server,  # noqa: F811
    sweep: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("wandb_workspaces", reason="wandb-workspaces is not installed (the extra `dashboard`)")
    assert main(["me/lab", str(sweep)]) == 0, capsys.readouterr().err
    view, report = server.views
    assert (view["entityName"], view["projectName"], view["type"]) == ("me", "lab", "project-view")
    sections = json.loads(view["spec"])["section"]["panelBankConfig"]["sections"]
    assert [section["name"] for section in sections][:2] == ["Over the generations", "Dose and response"]
    curve, dose = (section["panels"][0]["config"] for section in sections[:2])
    assert (curve["xAxis"], curve["metrics"], curve["groupBy"]) == (
        "generation",
        ["seen/classifier/fid"],
        "ratio.value",
    )
    assert (curve["groupAgg"], curve["groupArea"]) == ("mean", "stderr")
    assert (dose["xAxis"], dose["yAxis"]) == ("config:ratio.value", "summary:seen/classifier/fid")
    assert "FID on seen prompts" in report["spec"]
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_project_that_is_not_there_is_not_made(
    server: Server,  # noqa: F811
    sweep: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("wandb_workspaces", reason="wandb-workspaces is not installed (the extra `dashboard`)")
    assert main(["me/other", str(sweep)]) == 2
    assert "me has no project 'other'; it has lab" in capsys.readouterr().err
    assert server.views == []


@pytest.mark.parametrize("status", [401, 404])
def test_what_the_server_refuses_is_said(
    server: Server,  # noqa: F811
    sweep: Path,
    capsys: pytest.CaptureFixture[str],
    status: int,
) -> None:
    pytest.importorskip("wandb_workspaces", reason="wandb-workspaces is not installed (the extra `dashboard`)")
    server.refuse = status
    assert main(["me/lab", str(sweep)]) == 2
    error = capsys.readouterr().err
    assert "check that this entity and project are there and yours" in error
    assert server.views == []


def test_without_a_key_the_login_is_named(
    server: Server,  # noqa: F811
    sweep: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    pytest.importorskip("wandb_workspaces", reason="wandb-workspaces is not installed (the extra `dashboard`)")
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert main(["me/lab", str(sweep)]) == 2
    assert "wandb login" in capsys.readouterr().err
