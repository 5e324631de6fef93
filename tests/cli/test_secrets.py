from __future__ import annotations

import io
import sys

import pytest

from collapse_lab.cli.secrets import Hiding, hide_in_errors, move_secrets

SECRET = "hydra.job.env_set"


@pytest.mark.parametrize(
    ("argument", "variables"),
    [
        (f"{SECRET}.WANDB_API_KEY=s3cret", {"WANDB_API_KEY": "s3cret"}),
        (f"+{SECRET}.HF_TOKEN=1e5", {"HF_TOKEN": "1e5"}),
        (f"++{SECRET}.HF_TOKEN='a, b'", {"HF_TOKEN": "a, b"}),
        (f"++{SECRET}={{HF_TOKEN:s3cret,A:0123}}", {"HF_TOKEN": "s3cret", "A": "0123"}),
    ],
)
def test_secret_variables_leave_the_command_line_and_reach_the_environment(
    argument: str, variables: dict[str, str]
) -> None:
    environment = {"PATH": "here"}
    assert move_secrets(["-m", argument, "seed=0,1"], environment) == ["-m", "seed=0,1"]
    assert environment == {"PATH": "here", **variables}


@pytest.mark.parametrize(
    "argument",
    [
        "seed=1",
        "+experiment=nepotistic",
        f"{SECRET}.OMP_NUM_THREADS=1",  # no secret
        f"{SECRET}={{A:1}}",
        f"{SECRET}.HF_TOKEN=a,b",  # two values, so a sweep
        f"{SECRET}.HF_TOKEN=[a",  # which Hydra refuses
        f"~{SECRET}.HF_TOKEN",
        "sinks.own.token=s3cret",  # an argument of a class, which has to reach it
    ],
)
def test_other_arguments_stay_on_the_command_line(argument: str) -> None:
    environment: dict[str, str] = {}
    assert move_secrets([argument], environment) == [argument]
    assert environment == {}


def test_what_is_written_to_a_hiding_stream_shows_no_secret() -> None:
    stream = io.StringIO()
    hiding = Hiding(stream, ["+sinks.own.token=s3cret0000", "seed=1"])
    print("got s3cret0000, and seed=1", file=hiding)
    assert stream.getvalue() == "got ***, and seed=1\n"
    assert hiding.isatty() is False


@pytest.mark.parametrize(("argument", "is_hidden"), [("+sinks.own.token=s3cret0000", True), ("seed=1", False)])
def test_errors_are_hidden_where_the_line_holds_a_secret(
    argument: str, is_hidden: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    hide_in_errors([argument])
    print("s3cret0000", file=sys.stderr)
    assert (stream.getvalue() == "***\n") is is_hidden
