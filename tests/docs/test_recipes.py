"""Every recipe works as it is printed: its files, commands and Python, in their order, in an empty folder."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import DOCS, RECIPES, Block, blocks
from tests.e2e.command import ROOT
from tests.nursery import Nursery

PLUGINS = ("noise", "warmth", "newest")  # modules that a recipe writes


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to follow a recipe in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["python"])
    yield tmp_path
    for name in PLUGINS:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_works_as_it_is_printed(recipe: str, folder: Path, nursery: Nursery) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    variables: dict[str, str] = {}
    ran = 0
    for block in blocks(DOCS / "recipes" / f"{recipe}.md"):
        if block.reason:
            continue
        if block.file:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code)
        elif block.kind == "python":
            exec(compile(block.code, f"{recipe}.md", "exec"), names)
            ran += 1
        elif block.kind == "sh":
            ran += follow(block, folder, variables, nursery)
    assert ran


def follow(block: Block, folder: Path, variables: dict[str, str], nursery: Nursery) -> int:
    """Run the commands of a block one after another, and return how many there are.

    A command is a forked child of a process that has everything imported, because a fresh one takes seconds to start.
    """
    ran = 0
    for line in block.code.splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["export"]:
            variables |= dict(word.split("=", 1) for word in words[1:])
            continue
        own = dict(variables)
        while words and "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            own[name] = value
        assert words[0] == "collapse-lab", line
        place = {"FOLDER": str(folder), "COLLAPSE_LAB_DATA": str(folder / "data"), "SITE": own.pop("PYTHONPATH", "")}
        if place["SITE"]:
            place["SITE"] = str(folder / place["SITE"])
        end = nursery.run(words[1:], **own, **place)
        assert end.code == 0, f"{line}\n{end.out}\n{end.err}"
        ran += 1
    return ran


def test_a_block_that_is_not_run_says_why() -> None:
    left_out = [block for recipe in RECIPES for block in blocks(DOCS / "recipes" / f"{recipe}.md") if block.reason]
    assert len(left_out) == 3
    for block in left_out:
        assert re.search(r"hydra/launcher=(slurm|local)|trainer.devices=", block.code)
        (where,) = re.findall(r"tests/[\w/.]+", block.reason)
        assert (ROOT / where).exists()


def test_the_index_names_every_recipe() -> None:
    text = (DOCS / "recipes" / "index.md").read_text()
    assert all(f"]({recipe}.md)" in text for recipe in RECIPES)
