"""One command, whichever way it is called: its words, its help, its exit codes."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import collapse_lab
from collapse_lab.cli import main as command
from collapse_lab.config.searchpath import CONF
from tests.e2e.command import EXPERIMENT, environment
from tests.nursery import Nursery

SCRIPT = Path(sys.executable).with_name("collapse-lab")
SISTERS = ("report", "verify", "status", "sync", "export", "prefetch", "plan", "dashboard")


@pytest.mark.parametrize("word", command.COMMANDS)
def test_a_word_is_dispatched_to_its_module_with_the_arguments_behind_it(
    word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[list[str]] = []

    def stand_in(arguments: list[str]) -> int:
        received.append(arguments)
        return 7

    monkeypatch.setattr(importlib.import_module(command.COMMANDS[word]), "main", stand_in)
    monkeypatch.setattr(sys, "argv", ["collapse-lab", word, "somewhere", "--option"])
    with pytest.raises(SystemExit) as end:
        command.main()
    assert end.value.code == 7
    assert received == [["somewhere", "--option"]]


def test_every_command_is_in_the_help() -> None:
    assert set(command.COMMANDS) == set(SISTERS)


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[list[str], str]]:
    """Return a function that gives what Hydra would be started with: the arguments, and the name of the sweep."""
    for name in ("COLLAPSE_LAB_SWEEP", "COLLAPSE_LAB_LAUNCHER", "HYDRA_FULL_ERROR"):
        monkeypatch.setenv(name, "")  # so that what `main` sets is put back

    def launch(*arguments: str) -> tuple[list[str], str]:
        started: list[list[str]] = []
        decorator: Any = lambda **_: lambda _: lambda: started.append(sys.argv[1:])  # noqa: E731
        monkeypatch.setattr("hydra.main", decorator)
        monkeypatch.setattr(sys, "argv", ["collapse-lab", *arguments])
        command.main()
        (line,) = started
        return line, os.environ["COLLAPSE_LAB_SWEEP"]

    return launch


def test_without_a_word_it_is_run(launched: Callable[..., tuple[list[str], str]]) -> None:
    line = ["-m", "+experiment=nepotistic", "ratio=0,1"]
    assert launched("run", *line) == launched(*line)
    assert launched(*line)[0] == line
    assert launched("run")[0] == []


def test_the_same_line_in_another_order_is_the_same_sweep(launched: Callable[..., tuple[list[str], str]]) -> None:
    first = launched("-m", "seed=0,1", "ratio=0,1")[1]
    assert launched("-m", "ratio=0,1", "seed=0,1")[1] == first
    assert launched("-m", "ratio=0,1", "seed=0,2")[1] != first
    assert len(first) == 10


def test_the_script_and_the_module_are_the_same_command() -> None:
    line = [*EXPERIMENT, "ratio=0.25", "--cfg", "job"]
    ways = [[sys.executable, "-m", "collapse_lab"], [str(SCRIPT)], [str(SCRIPT), "run"]]
    if not SCRIPT.exists():
        pytest.skip("the package is not installed beside this Python")
    ends = [
        subprocess.run([*way, *line], capture_output=True, text=True, env=environment(), timeout=120) for way in ways
    ]
    assert [end.returncode for end in ends] == [0, 0, 0], ends[0].stderr
    assert "name: nepotistic" in ends[0].stdout
    assert len({end.stdout for end in ends}) == 1


@pytest.fixture(scope="module")
def help_text(nursery: Nursery) -> str:
    end = nursery.run(["--help"])
    assert (end.code, end.err) == (0, "")
    return end.out


def first_comment(path: Path) -> str:
    """Return the first comment line of a yaml that is not Hydra's own."""
    lines = [line for line in path.read_text().splitlines() if line.startswith("# ") and "@package" not in line]
    return lines[0].removeprefix("# ").rstrip()


@pytest.mark.parametrize("group", ["experiment", "scale", "hydra/launcher"])
def test_help_lists_each_option_with_the_first_comment_line_of_its_yaml(help_text: str, group: str) -> None:
    files = sorted((CONF / group).glob("*.yaml"))
    assert files
    lines = [line.strip() for line in help_text.splitlines()]
    for file in files:
        (line,) = (line for line in lines if line.split("  ")[0] == file.stem)
        assert line.removeprefix(file.stem).strip() == first_comment(file)


@pytest.mark.parametrize("word", [[], ["run"]])
def test_the_version_is_that_of_this_package_and_takes_no_torch(word: list[str]) -> None:
    code = "import sys; from collapse_lab.cli.main import main; main(); assert not {'torch', 'hydra'} & {*sys.modules}"
    command = [sys.executable, "-c", code, *word, "--version"]
    end = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60)
    assert (end.returncode, end.stdout, end.stderr) == (0, f"collapse_lab {collapse_lab.__version__}\n", "")


def test_help_has_five_examples_that_name_the_command(help_text: str) -> None:
    block = help_text.split("Examples\n")[1].split("\n\n")[0]
    examples = block.splitlines()
    assert len(examples) == 5
    assert all(line.startswith("  collapse-lab ") for line in examples)


def test_help_names_the_sister_commands_the_groups_and_the_completion(help_text: str) -> None:
    for word in SISTERS:
        assert f"\n  {word} " in help_text
    assert 'eval "$(collapse-lab -sc install=bash)"' in help_text
    assert "\nmodel: causal_lm, ddim, ddpm" in help_text
    assert "\nn_train: 600" in help_text


@pytest.mark.parametrize("word", SISTERS)
def test_a_sister_command_has_help_of_its_own(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        importlib.import_module(command.COMMANDS[word]).main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert f"collapse-lab {word}" in text
    assert "exit code: 0" in text.lower().replace("\n", " ")


def test_a_mistyped_command_is_refused_in_one_line(nursery: Nursery) -> None:
    end = nursery.run(["reprot", "runs"])
    assert end.code == 2
    (line,) = end.err.splitlines()
    assert line == "collapse_lab: 'reprot' is neither a command nor KEY=VALUE; --help lists the commands and the keys"
