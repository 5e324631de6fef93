from __future__ import annotations

import sys

import pytest

from collapse_lab.storage.environment import describe_environment
from collapse_lab.storage.redaction import redacted, without_secrets

SECRETS = [
    "hydra.job.env_set.WANDB_API_KEY=s3cret",
    "+hydra.job.env_set.WANDB_API_KEY=s3cret",
    "++hydra.job.env_set.hf_token=s3cret",
    "hydra.job.env_set.AWS_SECRET_ACCESS_KEY=s3cret",
    "hydra.job.env_set.CLIENT_SECRET_1=s3cret",
    "hydra.job.env_set={WANDB_API_KEY: s3cret, A: 1}",
    "++hydra.job.env_set={A:1,'HF_TOKEN':'s3cret'}",
    'hydra.job.env_set={"DbPassword":"s3cret=}"}',
    "sinks.wandb.apiKey=s3cret",
    "sinks.wandb.APIKEY=s3cret",
    "sinks.own.password=s3cret=with=signs",
    "sinks.own.Credentials=s3cret,s3cret",
]
PLAIN = [
    "dataset.tokenizer=bpe",
    "model.max_tokens=3",
    "hydra.job.env_set.OMP_NUM_THREADS=1",
    "hydra.job.env_set={A:key,B:token}",
    "name=keyboard",
    "name=token",
    "+experiment=nepotistic",
    "n_train={first: 100, exponent: 2}",
    "-m",
    "WANDB_API_KEY",
    "sinks.wandb.apiKey=",
]


@pytest.mark.parametrize("argument", SECRETS)
def test_the_value_of_a_secret_is_replaced_and_its_key_is_kept(argument: str) -> None:
    assert redacted(argument) == f"{argument.partition('=')[0]}=***"
    assert "s3cret" not in without_secrets(f"the override {argument} is wrong", [argument])


@pytest.mark.parametrize("argument", PLAIN)
def test_other_arguments_are_kept_as_they_are(argument: str) -> None:
    assert redacted(argument) == argument
    assert without_secrets(f"the override {argument} is wrong", [argument]) == f"the override {argument} is wrong"


def test_the_environment_of_a_run_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["collapse-lab", "seed=1", *SECRETS])
    environment = describe_environment({}, "cpu")
    assert environment["command"][:2] == ["collapse-lab", "seed=1"]
    assert len(environment["command"]) == 2 + len(SECRETS)
    assert "s3cret" not in str(environment)
