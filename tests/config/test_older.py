"""Run folders of format 1 are recognised, read in today's shape, and never computed over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from collapse_lab.config.composing import compose
from collapse_lab.config.older import refuse_older_format
from collapse_lab.config.signature import canonical, run_identity
from collapse_lab.errors import UserError
from collapse_lab.experiment import Experiment, prepare
from collapse_lab.storage.formats import CONFIG, FORMAT, format_of, upgraded
from tests.config.format1 import GAUSSIAN, GAUSSIAN_COMMAND, VAE, VAE_COMMAND
from tests.e2e.command import contents
from tests.nursery import Nursery

ARGUMENTS = [*GAUSSIAN_COMMAND, "device=cpu", "sinks=[]"]
OPTIMISATION = "collapse_lab.nn.optimisation.Optimisation"


def loaded(text: str) -> dict[str, Any]:
    plain = yaml.safe_load(text)
    assert isinstance(plain, dict)
    return plain


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """Return the folder of a run of format 1."""
    folder = tmp_path / "recursive_gaussian" / "2c3355a55fa9"
    folder.mkdir(parents=True)
    (folder / CONFIG).write_text(GAUSSIAN)
    (folder / "ledger.jsonl").touch()
    return folder


def experiment(runs: Path, *overrides: str) -> Experiment:
    return prepare(compose(*ARGUMENTS, *overrides, f"paths.runs={runs}"))


def test_the_same_command_is_refused_in_one_line_with_exit_code_2(
    older: Path, nursery: Nursery, tmp_path: Path
) -> None:
    before = contents(older)
    end = nursery.run([*ARGUMENTS, f"paths.runs={tmp_path}"])
    assert end.code == 2
    (line,) = end.err.splitlines()
    assert line.startswith(f"collapse_lab: {older} holds this run in format 1, which an earlier version")
    assert f"in format {FORMAT}, move that folder away or give another paths.runs" in line
    assert contents(older) == before
    assert list(older.parent.iterdir()) == [older]


def test_another_configuration_runs_beside_it(older: Path, tmp_path: Path) -> None:
    result = experiment(tmp_path, "seed=1").run()
    assert (result.status, result.computed, len(result.records)) == ("ok", True, 3)
    assert {folder.name for folder in older.parent.iterdir()} == {older.name, result.folder.name}


def test_once_the_older_folder_is_moved_away_the_command_runs(older: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds this run in format 1"):
        experiment(tmp_path).run()
    older.rename(tmp_path / "away")
    result = experiment(tmp_path).run()
    assert result.status == "ok"
    assert format_of(result.folder) == FORMAT
    # A run of today's format that is there already is found, whatever lies beside it
    (tmp_path / "away").rename(older)
    assert not experiment(tmp_path).run().computed


@pytest.mark.parametrize(
    "text",
    ["", "[1, 2", "name: [", "just a text", "model: 3", GAUSSIAN.replace("models.gaussian", "models.gone"), VAE],
    ids=["empty", "torn list", "torn mapping", "text", "no run", "unknown class", "another run"],
)
def test_a_folder_that_cannot_be_read_or_holds_another_run_is_passed_over(
    older: Path, tmp_path: Path, text: str
) -> None:
    (older / CONFIG).write_text(text)
    refuse_older_format(experiment(tmp_path).info)


@pytest.mark.parametrize(
    ("text", "command"), [(GAUSSIAN, GAUSSIAN_COMMAND), (VAE, VAE_COMMAND)], ids=["gaussian", "vae"]
)
def test_an_older_configuration_is_the_same_run_in_todays_shape(text: str, command: list[str]) -> None:
    assert run_identity(upgraded(loaded(text))) == run_identity(canonical(compose(*command).cfg))


def test_classes_that_have_moved_are_named_by_their_place_of_today_wherever_they_stand() -> None:
    plain = upgraded(loaded(GAUSSIAN))
    assert plain["trainer"]["_target_"] == "collapse_lab.engine.fitting.Training"
    assert plain["store"]["_target_"] == "collapse_lab.storage.store.Store"
    process = plain["probes"]["moments"]["process"]
    assert process["population"]["_target_"] == "collapse_lab.engine.population.Population"
    chain = {"curation": {"_target_": "collapse_lab.curation.chain.InOrder", "steps": []}}
    assert upgraded(chain)["curation"]["_target_"] == "collapse_lab.curation.sequence.InOrder"


def test_the_flat_arguments_of_optimisation_become_a_node() -> None:
    model = upgraded(loaded(VAE))["model"]
    assert "lr" not in model
    assert "weight_decay" not in model
    assert model["optimisation"] == {
        "_target_": OPTIMISATION,
        "lr": 0.001,
        "lr_schedule": "constant",
        "warmup": 0.0,
        "weight_decay": 1e-5,
    }
    flat = {"lr": 0.1, "lr_schedule": "linear", "weight_decay": 0.0, "warmup": 0.05, "ema_decay": 0.9}
    moved = upgraded({"model": {"channels": [8], **flat}})["model"]
    assert moved == {"channels": [8], "optimisation": {"_target_": OPTIMISATION, **flat}}
    assert upgraded({"model": {"replicas": 3}})["model"] == {"replicas": 3}


def test_a_member_with_an_optimisation_of_its_own_keeps_the_rest_of_the_models() -> None:
    older = loaded(VAE)
    older["population"]["members"] = {"a": {}, "b": {"lr": 0.5, "latent": 3}}
    members = upgraded(older)["population"]["members"]
    whole = upgraded(older)["model"]["optimisation"]
    assert members == {"a": {}, "b": {"latent": 3, "optimisation": {**whole, "lr": 0.5}}}


def test_a_configuration_of_today_is_left_as_it_is(tmp_path: Path) -> None:
    plain = {"format": FORMAT, "model": {"lr": 0.1}, "trainer": {"_target_": "collapse_lab.lightning.Training"}}
    assert upgraded(plain) == plain


def test_to_read_an_older_configuration_does_not_change_it() -> None:
    older = loaded(VAE)
    upgraded(older)
    assert older == loaded(VAE)


@pytest.mark.parametrize(
    ("first", "number"),
    [("format: 2", 2), ("format: 3", 3), ("format: two", 1), ("name: x", 1), ("formats: 2", 1), ("", 1)],
)
def test_the_format_stands_in_the_first_line(tmp_path: Path, first: str, number: int) -> None:
    (tmp_path / CONFIG).write_text(f"{first}\nformat: 9\n")
    assert format_of(tmp_path) == number
