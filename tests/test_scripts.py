"""Every script of multirun_scripts/ starts sweeps whose cells compose, and says its cost on two cores and on a GPU."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from collapse_lab.config.composing import compose
from collapse_lab.config.signature import canonical
from collapse_lab.results.settings import flattened
from collapse_lab.verify.claims import read, shipped
from collapse_lab.verify.commands import override_line

FOLDER = Path(__file__).resolve().parents[1] / "multirun_scripts"
SHIPPED = [claim for path in shipped() for claim in read(path)]
SEED = 999_999_937  # no script and no claim has it
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.sh") if path.name != "launch.sh")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the scripts beside no environment, so that they start the `python` of the PATH."""
    root = tmp_path_factory.mktemp("scripts")
    shutil.copytree(FOLDER, root / "multirun_scripts")
    stub = root / "bin" / "python"
    stub.parent.mkdir()
    stub.write_text('#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done\necho end-of-line\n')
    stub.chmod(0o755)
    return root


def lines(copy: Path, script: str, *arguments: str) -> list[list[str]]:
    """Return the words of every command that a script starts."""
    environment = os.environ | {"PATH": f"{copy / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [str(copy / "multirun_scripts" / script), *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return [part.split("\n")[:-1] for part in done.stdout.split("end-of-line\n")[:-1]]


def cells(overrides: list[str]) -> Iterator[list[str]]:
    """Yield overrides without a sweep: every value of every swept key once, the other keys at their first values.

    Of the seeds only the first is taken, because a cell composes with one as with another.
    """
    parsed = [OverridesParser.create().parse_override(override) for override in overrides]
    values = [
        [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
        if override.is_sweep_override()
        else [str(override.input_line)]
        for override in parsed
    ]
    first = [options[0] for options in values]
    for place, options in enumerate(values):
        for option in [] if options[0].startswith("seed=") else options[1:]:
            yield [*first[:place], option, *first[place + 1 :]]
    yield first


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_cell_composes(script: str, copy: Path) -> None:
    started = lines(copy, script)
    assert started
    for words in started:
        assert words[:4] == ["-m", "collapse_lab", "-m", "hydra/launcher=local"]
        for overrides in cells(words[4:]):
            composed = compose(*overrides)
            assert composed.root.name


def every_cell(overrides: list[str]) -> Iterator[tuple[str, ...]]:
    """Yield overrides without a sweep, for every cell of the sweep."""
    parsed = [OverridesParser.create().parse_override(override) for override in overrides]
    yield from product(
        *(
            [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
            if override.is_sweep_override()
            else [str(override.input_line)]
            for override in parsed
        )
    )


def settings(cell: Iterable[str]) -> frozenset[tuple[str, str]]:
    """Return the settings of a cell without those that no claim asks to be equal: its seed and its last generation."""
    line = [override for override in cell if not override.startswith("seed=")]
    flat = flattened(canonical(compose(*line, f"seed={SEED}").cfg))
    return frozenset(
        (key, str(float(value)) if type(value) is int else str(value))
        for key, value in flat.items()
        if value != SEED and key.rpartition(".")[2] != "generations"
    )


@pytest.mark.slow
def test_every_claim_is_run_by_a_script_unless_it_needs_files_of_the_users(copy: Path) -> None:
    seeds: defaultdict[frozenset[tuple[str, str]], set[str]] = defaultdict(set)
    known: dict[tuple[str, ...], frozenset[tuple[str, str]]] = {}
    for script in SCRIPTS:
        for words in lines(copy, script):
            for cell in every_cell(words[4:]):
                rest = tuple(override for override in cell if not override.startswith("seed="))
                known.setdefault(rest, settings(rest))
                seeds[known[rest]].update(override for override in cell if override.startswith("seed="))
    asked = [(claim, override_line(claim, group)) for claim in SHIPPED for group in claim.groups.values()]
    lacking = [
        (claim.id, line)
        for claim, line in asked
        if "FOLDER" not in " ".join(line) and not {f"seed={seed}" for seed in claim.seeds} <= seeds[settings(line)]
    ]
    assert {name for name, _ in lacking} == {"clip_score_falls"}, lacking  # which needs weights of CLIP


@pytest.mark.parametrize("script", SCRIPTS)
def test_further_overrides_and_the_launcher_are_passed_on(script: str, copy: Path) -> None:
    for words in lines(copy, script, "slurm", "generations=1"):
        assert words[3] == "hydra/launcher=slurm"
        assert words[-1] == "generations=1"


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_head_says_what_the_script_costs(script: str) -> None:
    head = [line for line in (FOLDER / script).read_text().splitlines() if line.startswith("#")]
    assert "two cores" in " ".join(head)
    assert "GPU" in " ".join(head)
