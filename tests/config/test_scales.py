"""`+scale=paper` is the paper's sizes of the experiment that the line names."""

from __future__ import annotations

from pathlib import Path

import pytest

from collapse_lab.config.composing import compose
from collapse_lab.config.scales import at_scale
from collapse_lab.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "scale" / "paper").mkdir(parents=True)
    (tmp_path / "scale" / "paper" / "feedback.yaml").touch()
    return tmp_path


def test_other_lines_are_returned_as_they_are(folder: Path) -> None:
    line = ["+experiment=feedback", "+scale=tiny", "seed=1"]
    assert at_scale(line, [folder]) == line


@pytest.mark.parametrize("line", [["+experiment=feedback", "+scale=paper"], ["+scale=paper", "+experiment=feedback"]])
def test_the_scale_stands_behind_the_experiment(line: list[str], folder: Path) -> None:
    assert at_scale(["-m", *line, "seed=1"], [folder]) == [
        *["-m", "+experiment=feedback", "seed=1", "+scale=paper/feedback"]
    ]


def test_an_experiment_with_a_file_of_its_own_at_another_scale_takes_it(tmp_path: Path) -> None:
    (tmp_path / "scale" / "tiny").mkdir(parents=True)
    (tmp_path / "scale" / "tiny" / "feedback.yaml").touch()
    line = ["+scale=tiny", "+experiment=feedback", "seed=1"]
    assert at_scale(line, [tmp_path]) == ["+experiment=feedback", "+scale=tiny/feedback", "seed=1"]
    behind = ["+experiment=feedback", "seed=1", "+scale=tiny", "--cfg", "job"]
    assert at_scale(behind, [tmp_path]) == [*behind[:2], "+scale=tiny/feedback", *behind[3:]]
    assert at_scale(["+experiment=mad", "+scale=tiny"], [tmp_path]) == ["+experiment=mad", "+scale=tiny"]


def test_the_first_command_of_the_readme_runs_at_the_tiny_scale() -> None:
    composed = compose("+experiment=nepotistic", "ratio=0.005", "+scale=tiny")
    assert (composed.root.n_train, composed.root.generations, composed.cfg.trainer.steps) == (200, 2, 60)
    assert compose("+experiment=nepotistic", "+scale=tiny", "n_train=300").root.n_train == 300


@pytest.mark.parametrize("experiment", ["nepotistic", "nepotistic_healing"])
def test_a_paper_whose_model_and_data_are_not_here_is_refused_with_what_can_be_run(experiment: str) -> None:
    line = [f"+experiment={experiment}", "+scale=paper"]
    message = rf"^\+scale=paper of \+experiment={experiment} is an experiment of its own.* leave the scale out, or .*"
    with pytest.raises(UserError, match=message) as refused:
        compose(*line)
    assert "\n" not in str(refused.value)
    remedy = str(refused.value).partition("or give ")[2].replace("FOLDER", "/nowhere").replace("FACES", "/no").split()
    composed = compose(*remedy)
    assert (composed.root.name, composed.root.n_train) == ("nepotistic_faces", 900)
    assert composed.root.generations == (10 if experiment == "nepotistic_healing" else 5)


@pytest.mark.parametrize(
    ("line", "given"),
    [
        (["+scale=paper"], "no experiment"),
        (["+experiment=a,b", "+scale=paper"], r"\+experiment=a,b"),
        (["+experiment=own", "+scale=paper"], r"\+experiment=own"),
    ],
)
def test_a_line_without_sizes_of_a_paper_is_refused(line: list[str], given: str, folder: Path) -> None:
    with pytest.raises(UserError, match=rf"one of feedback; got {given}$"):
        at_scale(line, [folder])
