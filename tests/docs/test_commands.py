"""What README and documentation print as a command or a setting exists."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from collapse_lab import prepare
from collapse_lab.config.composing import compose
from tests.docs.pages import DOCS, blocks
from tests.e2e.command import ROOT
from tests.test_scripts import cells

PAGES = [ROOT / "README.md", *sorted(path for path in DOCS.rglob("*.md") if path.parent.name != "recipes")]
GROUPS = {path.name for path in (ROOT / "conf").iterdir() if path.is_dir()} - {"hydra", "scale"}
PLACEHOLDER = re.compile(r"…|\b[A-Z]{3,}\b|\[slurm\]")  # what the reader fills in
RUNS = re.compile(r"^(?:[A-Z_]+=\S+ )*(?:collapse-lab|python -m collapse_lab) (?=.*\+experiment=)")
SCRIPT = re.compile(r"^(?:sbatch |python )*multirun_scripts/")
OTHERS = re.compile(r"^collapse-lab dashboard |hydra/sweeper=")  # other commands, and ranges that a sweeper fills in


def commands() -> Iterator[str]:
    """Yield every line of a block of code or at the head of a yaml file that runs an experiment, once.

    Recipes are run elsewhere.
    """
    experiments = [line for page in PAGES for line in commands_of(page)]
    experiments += [line for path in sorted((ROOT / "conf").rglob("*.yaml")) for line in heading(path)]
    yield from dict.fromkeys(line for line in experiments if not PLACEHOLDER.search(line) and not OTHERS.search(line))


def commands_of(page: Path) -> Iterator[str]:
    """Yield every line of a block of code of a page that runs an experiment, from `collapse-lab` on."""
    yield from (RUNS.sub("collapse-lab ", line) for line in printed(page) if RUNS.search(line))


def heading(path: Path) -> Iterator[str]:
    """Yield every command in the comments of a yaml file that runs an experiment, from `collapse-lab` on."""
    comments = re.findall(r"^# *(.*)$", path.read_text(), re.MULTILINE)
    joined = re.sub(r" *\\\n *", " ", "\n".join(comments)).splitlines()
    yield from (RUNS.sub("collapse-lab ", line) for line in joined if RUNS.search(line))


def printed(page: Path) -> Iterator[str]:
    """Yield every line of a block of code of a page, without its comment."""
    lines = (line for block in blocks(page) for line in block.code.splitlines())
    yield from (line.split("  #")[0].strip() for line in lines)


@pytest.mark.parametrize("command", commands())
def test_a_printed_command_composes(command: str) -> None:
    words = shlex.split(command)[1:]
    overrides = [word for word in words if "=" in word]
    assert set(words) - set(overrides) <= {"-m", "prefetch", "plan"}
    for word in overrides:  # because zsh reads brackets as a pattern, and bash divides what stands in braces
        assert not set("[{") & set(word) or f"'{word}'" in command or f'"{word}"' in command, word
    *_, cell = cells(overrides)
    assert compose(*cell).root.name


@pytest.mark.parametrize("line", [line for page in PAGES for line in printed(page) if SCRIPT.search(line)])
def test_a_printed_script_is_there_and_starts(line: str) -> None:
    scripts = [word for word in shlex.split(line) if word.startswith("multirun_scripts/")]
    for script in scripts:
        assert (ROOT / script).is_file()
        assert line.startswith("python ") or os.access(ROOT / script, os.X_OK)


def test_the_printed_search_for_a_threshold_can_run_its_first_two_cells(tmp_path: Path) -> None:
    (line,) = {line for page in PAGES for line in printed(page) if "threshold_ratio.py" in line}
    assert line in (ROOT / "multirun_scripts" / "threshold_ratio.py").read_text()
    overrides = [word for word in shlex.split(line) if "=" in word]
    for ratio in (0, 1):
        assert prepare(compose(*overrides, f"ratio={ratio}", f"paths.runs={tmp_path}")).plan.stages_to_do


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_an_option_of_a_group_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(rf"(?<![\w.+/])({'|'.join(sorted(GROUPS))})=(\[[\w,]*\]|\w+)", page.read_text())
    for group, options in named:
        for option in options.strip("[]").split(","):
            known = (ROOT / "conf" / group / f"{option}.yaml").exists()
            assert known or not option or option in PLACES, f"{group}={option}"


PLACES = {"NAME", "noise"}  # a name that the reader fills in, and one that a recipe writes


def test_the_console_of_the_first_page_is_that_of_its_command(tmp_path: Path) -> None:
    start = DOCS / "start.md"
    (command,) = (line for line in commands_of(start) if line.endswith("+scale=tiny"))
    (console,) = (block.code for block in blocks(start) if block.kind == "text")
    experiment = prepare(compose(*shlex.split(command)[1:], f"paths.runs={tmp_path}"))
    named = re.findall(r"^nepotistic (\w+)$|^report: runs/nepotistic/(\w+)/report.html$", console, re.MULTILINE)
    assert [one or other for one, other in named] == [experiment.info.signature] * 2
    printed = re.findall(r"^generation (\d)/2 · model · ([\d,]+) real \+ ([\d,]+) synthetic", console, re.MULTILINE)
    rows = [[int(number.replace(",", "")) for number in line] for line in printed]
    planned = [[step.generation, step.counts["real"], step.counts["synthetic"]] for step in experiment.plan.steps]
    assert rows == planned


def test_the_sizes_that_a_page_prints_are_those_of_the_tiny_scale() -> None:
    page = (DOCS / "guide" / "settings.md").read_text()
    for experiment in ("mad", "nepotistic", "nepotistic_healing"):
        cfg = compose(f"+experiment={experiment}", "+scale=tiny").cfg
        own = experiment.startswith("nepotistic")
        assert (cfg.n_train, cfg.n_samples, cfg.generations) == (*[200 if own else 64] * 2, 2)
        assert (cfg.trainer.epochs, cfg.trainer.steps, cfg.trainer.finetune_steps) == (None, 60, 20)
        assert (cfg.trainer.batch_size, cfg.model.sampler.steps) == (32, 4)
    scale = OmegaConf.load(ROOT / "conf" / "scale" / "tiny.yaml")
    assert all(f"`{key}`" in page or f"`{key}." in page for key in map(str, scale))
    assert {node.steps for node in scale.features.values()} == {100}
    assert {node.bootstrap for node in scale.metrics.values()} == {20}
    assert scale.metrics.by_group.k == 1
    assert all(f"`{name}`" in page for name in scale.metrics)
    assert all(f"`{path.stem}`" in page for path in (ROOT / "conf" / "scale" / "tiny").glob("*.yaml"))


def test_a_setting_wins_over_a_scale_wherever_it_stands() -> None:
    lines = [("n_train=40", "+scale=tiny"), ("+scale=tiny", "n_train=40")]
    assert [compose("+experiment=nepotistic", *line).root.n_train for line in lines] == [40, 40]
