"""What a stranger needs to install, run and cite: one version, a wheel with its configuration, a container, README."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import collapse_lab
from tests.e2e.command import ROOT, environment

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
README = (ROOT / "README.md").read_text()
INSTRUCTIONS = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "ENTRYPOINT"}


def test_there_is_one_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert PROJECT["version"] == collapse_lab.__version__ == citation["version"]
    wheels = re.findall(r"collapse_lab-([\d.]+)-py3", (ROOT / "docs" / "guide" / "installation.md").read_text())
    assert set(wheels) == {PROJECT["version"]}


def test_the_citation_has_what_the_format_asks_for() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["license"] == PROJECT["license"]
    for work in citation["references"]:
        assert {"type", "title", "authors", "identifiers"} <= work.keys()
        assert re.fullmatch(r"arXiv:\d{4}\.\d{5}", work["identifiers"][0]["value"])


def test_the_container_copies_files_that_exist_and_starts_the_command() -> None:
    text = (ROOT / "docs" / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [shlex.split(line) for line in text.splitlines() if line and not line.startswith("#")]
    assert {line[0] for line in lines} == INSTRUCTIONS
    assert lines[0][0] == "FROM"
    copied = [name for line in lines if line[0] == "COPY" for name in line[1:-1]]
    assert all((ROOT / name).exists() for name in copied)
    # What the build of the wheel reads has to be there
    assert {"pyproject.toml", PROJECT["readme"], *PROJECT["license-files"], "collapse_lab", "conf"} <= {*copied}
    (extras,) = re.findall(r"\.\[([\w,]+)\]", text)
    assert set(extras.split(",")) <= PROJECT["optional-dependencies"].keys()
    (entry,) = re.findall(r'^ENTRYPOINT \["([\w-]+)"\]$', text, re.MULTILINE)
    assert entry in PROJECT["scripts"]


@pytest.mark.skipif(
    importlib.util.find_spec("hatchling") is None, reason="hatchling, which builds wheels, is not there"
)
def test_a_wheel_runs_in_an_empty_folder(tmp_path: Path) -> None:
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(ROOT)], check=True, timeout=300)
    (wheel,) = tmp_path.glob("collapse_lab-*.whl")
    site, empty = tmp_path / "site", tmp_path / "empty"
    zipfile.ZipFile(wheel).extractall(site)
    empty.mkdir()
    command = [sys.executable, "-m", "collapse_lab", "+experiment=recursive_gaussian", "dry_run=true"]
    done = subprocess.run(
        command, cwd=empty, capture_output=True, text=True, env=environment(PYTHONPATH=str(site)), timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "stages would run" in done.stdout
    assert list(empty.iterdir()) == []


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    assert len(README.splitlines()) <= 150
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", README)
    assert len(links) > 20
    assert all((ROOT / link).exists() for link in links)


def test_the_readme_has_the_two_commands_and_every_experiment() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "make demo" in README
    assert "make test" in README
    assert re.search(r"^test: ", makefile, re.MULTILINE)
    (ran,) = re.findall(r"python -m (collapse_lab \S+ \S+)\n", README)
    assert ran in makefile
    for preset in (ROOT / "conf" / "experiment").glob("*.yaml"):
        assert f"`{preset.stem}`" in README, preset.stem
