"""What README and documentation print as a command or a setting exists."""

from __future__ import annotations

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
OTHERS = re.compile(r"^collapse-lab dashboard |hydra/sweeper=")  # other commands, and ranges that a sweeper fills in


def commands() -> Iterator[str]:
    """Yield every line of a block of code that runs an experiment, once; recipes are run elsewhere."""
    experiments = (line for page in PAGES for line in commands_of(page))
    yield from dict.fromkeys(line for line in experiments if not PLACEHOLDER.search(line) and not OTHERS.search(line))


def commands_of(page: Path) -> Iterator[str]:
    """Yield every line of a block of code of a page that runs an experiment."""
    lines = (line for block in blocks(page) for line in block.code.splitlines())
    found = (line.split("  #")[0].strip() for line in lines)
    yield from (line for line in found if line.startswith("collapse-lab ") and "+experiment=" in line)


@pytest.mark.parametrize("command", commands())
def test_a_printed_command_composes(command: str) -> None:
    words = shlex.split(command)[1:]
    overrides = [word for word in words if "=" in word]
    assert set(words) - set(overrides) <= {"-m", "prefetch", "plan"}
    *_, cell = cells(overrides)
    assert compose(*cell).root.name


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
