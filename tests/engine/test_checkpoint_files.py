"""A checkpoint that is damaged, foreign or cannot be written costs no fit."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from collapse_lab.models.vae import VAE
from collapse_lab.storage.snapshots import HEADER, draft_of
from collapse_lab.types import Checkpointing
from tests.engine.test_checkpoint import (
    ALWAYS,
    CASES,
    NEVER,
    STEPS,
    STOP,
    Steps,
    fit,
    handlers,
    kept_at,
    sending,
    stop,
    undisturbed,
)
from tests.models.cases import DATA, built, same

__all__ = ["handlers"]  # a fixture that acts on each test


def rewritten(path: Path, **changes: Any) -> None:
    """Change the header of a checkpoint."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()[HEADER])
    facts = {**header["facts"], **changes.pop("facts", {})}
    save_file(load_file(path), path, {HEADER: json.dumps({**header, "facts": facts, **changes})})


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def other_weights(path: Path) -> None:
    path.unlink()
    kept = Checkpointing(path, path.stem.removeprefix("fit-"), NEVER)
    wider = CASES["vae"].build
    CASES["vae"].build = lambda: built(VAE, DATA.spec, {"channels": 6, "latent": 3})
    try:
        stop("vae", kept)
    finally:
        CASES["vae"].build = wider


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "of another fit": (lambda path: rewritten(path, facts={"key": "b" * 32}), "its key is bbb"),
    "of other steps": (lambda path: rewritten(path, facts={"number of steps": 9}), "its number of steps is 9"),
    "of another torch": (lambda path: rewritten(path, facts={"torch": "1.0"}), "its torch is 1.0"),
    "of another device": (lambda path: rewritten(path, facts={"device": "cuda"}), "its device is cuda"),
    "of an older format": (lambda path: rewritten(path, format=0), "its format is 0"),
    "of another state": (lambda path: rewritten(path, state={"dict": []}), "its numbers are not those"),
    "of other weights": (other_weights, "its weights have other names or shapes"),
    "with a flipped bit": (flipped, "its numbers are not those"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-100]), "it cannot be read"),
    "empty": (lambda path: path.write_bytes(b""), "it cannot be read"),
    "no safetensors file": (lambda path: path.write_bytes(b"no such thing " * 99), "it cannot be read"),
    "without a header": (lambda path: save_file(load_file(path), path), "it cannot be read"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_checkpoint_that_cannot_be_trusted_is_not_used(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = kept_at(tmp_path)
    stop("vae", kept)
    spoil, message = BAD[kind]
    spoil(kept.path)
    weights, computed = fit("vae", kept)
    assert computed == STEPS
    assert same(weights, undisturbed("vae"))
    (line,) = [record.message for record in caplog.records if "is not used" in record.message]
    assert message in line
    assert "the fit begins again" in line


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SafetensorError("I/O error")])
def test_a_checkpoint_that_cannot_be_written_costs_no_fit(
    error: Exception, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise error

    monkeypatch.setattr("safetensors.torch.save_file", full)
    kept = kept_at(tmp_path, ALWAYS)
    weights, _ = fit("vae", kept)
    assert same(weights, undisturbed("vae"))
    assert "cannot be written" in caplog.text
    assert list(kept.path.parent.iterdir()) == []


def test_a_write_that_is_cut_short_leaves_the_checkpoint_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = kept_at(tmp_path)
    stop("vae", kept)

    def cut(tensors: Any, path: Path, metadata: Any) -> None:
        path.write_bytes(b"a part")
        raise KeyboardInterrupt  # of the process that ends here

    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.save_file", cut)
        with pytest.raises(KeyboardInterrupt):
            fit("vae", kept, Steps(sending(signal.SIGINT), STOP + 2))
    draft_of(kept.path).write_bytes(b"what a killed process leaves")
    weights, computed = fit("vae", kept)
    assert computed == STEPS - STOP
    assert same(weights, undisturbed("vae"))
