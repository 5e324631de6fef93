"""What README and documentation print as a command or a setting exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

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
    lines = (line for page in PAGES for block in blocks(page) for line in block.code.splitlines())
    found = (line.split("  #")[0].strip() for line in lines)
    experiments = (line for line in found if line.startswith("collapse-lab ") and "+experiment=" in line)
    yield from dict.fromkeys(line for line in experiments if not PLACEHOLDER.search(line) and not OTHERS.search(line))


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
