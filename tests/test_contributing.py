"""The walk-throughs of CONTRIBUTING.md work as they are written: the code in it is a package that runs."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from pathlib import Path

import pytest
import yaml

from tests.e2e.command import ROOT, ledger, only_run
from tests.lab_package import forget_modules, install, write
from tests.nursery import Nursery

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
# A file is named in backticks at the start of a line that ends with a colon, above its block of code
BLOCKS = re.findall(r"^`([\w/.]+)`[^\n]*:\n```\w+\n(.*?)```$", TEXT, re.MULTILINE | re.DOTALL)
FILES: dict[str, str] = dict(BLOCKS)
WALKS = {"model": "model/pixel_noise", "metric": "metrics/brightness", "data set": "dataset/stripes"}


def test_each_walk_through_is_one_module_and_one_yaml() -> None:
    sections = re.split(r"^### ", TEXT, flags=re.MULTILINE)
    for kind, option in WALKS.items():
        (section,) = (section for section in sections if section.startswith(f"Add a {kind}\n"))
        names = re.findall(r"^`([\w/.]+)`", section, re.MULTILINE)
        assert names == [f"my_lab/{Path(option).name}.py", f"my_lab/conf/{option}.yaml"]
    assert len(FILES) == len(BLOCKS) == 2 * len(WALKS) + 1
    assert TEXT.count("```") == 2 * (len(FILES) + 2)  # set-up and the last command are the only other blocks


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("contributing")
    target = place / "site"
    target.mkdir()
    install(write(place / "source", FILES), target)
    return target


def test_the_three_plug_ins_of_the_text_run_by_the_command_of_the_text(
    target: Path, nursery: Nursery, tmp_path: Path
) -> None:
    (command,) = re.findall(r"^collapse-lab (.*nepotistic.*)$", TEXT, re.MULTILINE)
    options = ["device=cpu", "sinks=[]", f"paths.runs={tmp_path}"]
    end = nursery.run([*shlex.split(command), *options], SITE=str(target))
    assert end.code == 0, end.err
    lines = ledger(only_run(tmp_path))
    assert [line["counts"] for line in lines] == [
        {"real": 140, "synthetic": 0},
        {"real": 100, "synthetic": 100},
        {"real": 100, "synthetic": 100},
    ]
    for line in lines:
        names = {f"all/pixels/brightness{end}" for end in ("", "_lo", "_hi", "_floor")}
        assert names <= line["metrics"].keys()
    config = yaml.safe_load((only_run(tmp_path) / "config.yaml").read_text())
    assert config["model"]["_target_"] == "my_lab.pixel_noise.PixelNoise"
    assert config["dataset"]["_target_"] == "my_lab.stripes.Stripes"


@pytest.mark.parametrize("option", WALKS.values())
def test_a_yaml_of_the_text_names_every_argument_of_its_class(
    target: Path, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_modules()
    monkeypatch.syspath_prepend(str(target))
    text = FILES[f"my_lab/conf/{option}.yaml"]
    assert text.startswith("# ")
    plain = yaml.safe_load(text)
    node = plain if "_target_" in plain else plain[Path(option).name]
    module, _, name = node["_target_"].rpartition(".")
    parameters = inspect.signature(getattr(__import__(module, fromlist=[name]), name)).parameters
    forget_modules()
    assert node.keys() - {"_target_"} == parameters.keys() - {"spec"}


def test_the_text_names_folders_and_commands_that_exist() -> None:
    rooms = re.findall(r"^\| (`.*?`) \|", TEXT, re.MULTILINE)
    for room in re.findall(r"`([\w./]+)`", " ".join(rooms)):
        assert (ROOT / "collapse_lab" / room).exists(), room
    targets = re.findall(r"make (\w+)", TEXT)
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
    for module in re.findall(r"python -m (tests[\w.]+)", TEXT):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists()


def test_every_module_of_the_text_parses_and_has_documented_classes() -> None:
    for name, text in FILES.items():
        if name.endswith(".py"):
            classes = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
            assert all(ast.get_docstring(node) for node in classes)
            assert classes
