"""One fit over several processes: the same batches and weights, one end for all of them, checkpoints, refusals."""

from __future__ import annotations

import hashlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed

from collapse_lab import compose, prepare
from collapse_lab.engine.distributed import fit_divided
from collapse_lab.engine.executor import fit_here
from collapse_lab.engine.fitting import Training
from collapse_lab.engine.view import Source, View
from collapse_lab.errors import Diverged, UserError
from collapse_lab.seeds import Seeds
from collapse_lab.storage.mapped import MappedFile
from collapse_lab.types import Budget, Checkpointing, FitRequest, Progress, Samples, Weights
from tests.e2e.command import ROOT, environment
from tests.engine.divided import PLACE, Grief, Line, Told, children, fit, rows
from tests.engine.test_checkpoint import CASES
from tests.models.cases import place, same

STEPS, BATCH = 4, 16
FAMILIES = (
    "text2image",
    "text2image in parts",
    "ddpm",
    "ddim",
    "vae",
    "causal_lm",
    "causal_lm, best weights",
    "stable_diffusion",
    "stable_diffusion, adapters",
)
FEW = ("text2image in parts", "vae")


def noted(model: Any) -> Callable[[], str]:
    """Return what gives a sum over all rows that a model's steps are given, and over all that it draws for them."""
    sha, step, draw = hashlib.sha256(), model.training_step, getattr(model, "draw", None)

    def note(*tensors: Tensor) -> None:
        for tensor in tensors:
            sha.update(np.ascontiguousarray(tensor.numpy()).tobytes())

    def noted_step(given: Tensor) -> Tensor:
        note(given)
        loss: Tensor = step(given)
        return loss

    def noted_draw(given: Tensor) -> Any:
        assert draw is not None
        drawn = draw(given)
        note(*drawn)
        return drawn

    model.training_step = noted_step
    if draw is not None:
        model.draw = noted_draw

    def finish() -> str:
        own = {name: vars(model)[name] for name in ("_noise", "_mirror") if name in vars(model)}
        note(*(own[name].get_state() for name in sorted(own)))
        return sha.hexdigest()

    return finish


def built(name: str) -> Any:
    with place().child("init").scoped():
        model = CASES[name].build()
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):  # because each process has a dropout of its own
            part.p = 0.0
    return model


class Battery:
    """Fit one family after the other as if they were one model, because processes take seconds to start.

    The weights are those of all of them. Beside them stands, for each family, what all processes have drawn.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._fits = {name: (built(name), CASES[name].rows(), CASES[name].settings) for name in names}

    def fit(self, data: Samples, budget: Budget, seeds: Seeds, progress: Progress) -> None:
        for name, (model, own, settings) in self._fits.items():
            self.tensors |= {f"{name} begin/{key}": value.clone() for key, value in model.weights().items()}
            finish = noted(model)
            wanted = replace(Budget(STEPS, BATCH, rows=20, **settings), devices=budget.devices)
            model.fit(own, wanted, place(), progress)
            self.tensors |= {f"{name} end/{key}": value.clone() for key, value in model.weights().items()}
            self._note(f"{name} draws", finish(), budget.devices)

    def _note(self, name: str, sha: str, number: int) -> None:
        shas: list[Any] = [sha]
        if number > 1:
            shas = [None] * number
            distributed.all_gather_object(shas, sha)
        self.tensors[name] = torch.tensor([list(bytes.fromhex(sha)) for sha in shas])

    def weights(self) -> Weights:
        return self.tensors

    def load(self, weights: Weights) -> None:
        self.tensors = dict(weights)


@cache
def of_one() -> tuple[Weights, Told]:
    told = Told()
    return fit(Battery(FAMILIES), Budget(STEPS, BATCH), told), told


def moved(tensors: Weights, name: str) -> Tensor:
    """Return by how much a fit has changed all weights of a family, as one vector."""
    ends = {key: value for key, value in tensors.items() if key.startswith(f"{name} end/")}
    return torch.cat([(value - tensors[key.replace(" end/", " begin/", 1)]).flatten() for key, value in ends.items()])


@pytest.mark.parametrize(("number", "names"), [(2, FAMILIES), pytest.param(4, FEW, marks=pytest.mark.slow)])
def test_each_number_of_processes_has_the_same_batches_and_the_same_steps(number: int, names: tuple[str, ...]) -> None:
    whole, alone = of_one()
    told = Told()
    divided = fit(Battery(names), Budget(STEPS, BATCH, devices=number), told)
    assert told.total == STEPS * len(names)
    for name in names:
        sums = divided[f"{name} draws"]
        assert len(sums) == number
        assert (sums == whole[f"{name} draws"]).all(), name
        # Because Adam divides by the size of a gradient, rounding counts most where a gradient is near 0
        apart = torch.linalg.vector_norm(moved(divided, name) - moved(whole, name))
        assert apart < 1e-3 * torch.linalg.vector_norm(moved(whole, name)), name
    expected = [glance for name in names for glance in alone.glances[2 * FAMILIES.index(name) :][:2]]
    for ours, theirs in zip(told.glances, expected, strict=True):
        assert replace(ours, loss=theirs.loss) == theirs
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-4)


@pytest.mark.parametrize("number", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_in_double_precision_the_steps_are_those_of_one_process_to_its_last_digits(number: int) -> None:
    whole = fit(Line(), Budget(20, BATCH, accumulate=2))
    divided = fit(Line(), Budget(20, BATCH, accumulate=2, devices=number))
    for name, value in whole.items():
        torch.testing.assert_close(divided[name], value, rtol=1e-13, atol=1e-13)


ENDINGS: dict[Grief, tuple[type[Exception], str]] = {
    "diverges": (Diverged, "the loss was nan"),
    "fails": (ValueError, "of its own"),
    "is killed": (RuntimeError, r"process 2 of the 2 .* was ended by SIGKILL, and the others with it"),
    "refuses": (UserError, "give another one"),
}


@pytest.mark.parametrize(
    "grief", ["is killed", *(pytest.param(grief, marks=pytest.mark.slow) for grief in ENDINGS if grief != "is killed")]
)
def test_what_ends_one_process_ends_all_and_is_raised_here(grief: Grief) -> None:
    error, message = ENDINGS[grief]
    with pytest.raises(error, match=message) as caught:
        fit(Line(grief=grief), Budget(3, BATCH, devices=2))
    assert children() == []
    assert ("in process 2 of the fit" in str(getattr(caught.value, "__notes__", ""))) == (grief == "fails")


@pytest.mark.slow
def test_a_divided_fit_that_a_signal_stops_goes_on_bit_for_bit(tmp_path: Path) -> None:
    kept = Checkpointing(tmp_path / "fit.safetensors", "a" * 32, 1e6)
    budget = Budget(9, BATCH, devices=2)
    undisturbed = fit(Line(0.5), budget)
    stopping = Told(lambda: os.kill(os.getpid(), signal.SIGTERM), 3)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(Line(0.5, pause=0.3), budget, stopping, kept)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert children() == []
    streams = [value for name, value in load_file(kept.path).items() if name.endswith("/cpu")]
    assert len({tuple(value.tolist()) for value in streams}) == 2  # because each process has a dropout of its own
    assert stopping.total < budget.steps
    again = Told()
    assert same(fit(Line(0.5), budget, again, kept), undisturbed)
    assert again.total == budget.steps


# It fits for minutes, and says which processes do it. They would begin anew with it if they ran it too
PROGRAM = """
from tests.engine.divided import Line, Told, children, fit
from collapse_lab.types import Budget

fit(Line(pause=0.2), Budget(10**4, 16, devices=2), Told(lambda: print(*children(), flush=True), 2))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_the_one_that_has_started_it(number: signal.Signals, tmp_path: Path) -> None:
    script, scratch = tmp_path / "script.py", tmp_path / "scratch"
    script.write_text(PROGRAM)
    scratch.mkdir()
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment() | {"PYTHONPATH": str(ROOT), "TMPDIR": str(scratch)},
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert len(pids) == 2
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        process.wait(30)
    limit = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < limit
        time.sleep(0.1)
    assert number == signal.SIGKILL or list(scratch.iterdir()) == []


def test_a_budget_for_several_processes_is_no_familys_own_business() -> None:
    with pytest.raises(RuntimeError, match=r"over 2 processes is started by engine.executor.Alone.fit"):
        Line().fit(rows(), Budget(1, 2, devices=2), PLACE, Told())


def test_a_model_that_cannot_be_pickled_is_refused() -> None:
    line = Line()
    line.pause = lambda: 0  # type: ignore[assignment]
    request = FitRequest(line, {}, rows(), Budget(1, 2, devices=2), PLACE, Told())  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"Line cannot be handed to other processes .* give trainer.devices=1"):
        fit_divided(request, fit_here)


def test_a_family_that_no_other_process_can_import_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Line, "__module__", "__main__")
    with pytest.raises(UserError, match=r"Line is defined in the script .* or give trainer.devices=1"):
        fit(Line(), Budget(1, 2, devices=2))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"batch_size": 48, "devices": 5},
            r"devices=5 divides the rows of a step .*batch_size=48 cannot .*batch_size=50, or",
        ),
        ({"batch_size": 1, "devices": 2}, r"batch_size=1 cannot be divided by 2; give trainer.batch_size=2, or"),
        (
            {"batch_size": 12, "devices": 4, "accumulate": 2},
            r"rows of each of the 2 parts .*batch_size=12 cannot be divided by 8; .*batch_size=16",
        ),
    ],
)
def test_shares_that_are_not_equal_are_refused(given: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Training(steps=1, **given).budget(False, 10, "cpu")  # type: ignore[arg-type]


def test_more_gpus_than_there_are_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    training = Training(steps=1, batch_size=12, devices=3)
    with pytest.raises(UserError, match=r"trainer.devices=3 asks for more GPUs .* which are 2; give trainer.devices=2"):
        training.budget(False, 10, "cuda")
    assert training.budget(False, 10, "cpu").devices == 3
    assert replace(training, devices=2).budget(False, 10, "cuda").devices == 2


def test_a_family_whose_fit_cannot_be_divided_is_refused_before_anything_is_computed() -> None:
    line = ["+experiment=recursive_gaussian", "+scale=tiny", "trainer.devices=2", "trainer.batch_size=2"]
    with pytest.raises(UserError, match=r"trainer.devices=2 divides .* Gaussian .* give trainer.devices=1, or"):
        prepare(compose(*line))


def test_one_process_changes_no_key() -> None:
    line = ["+experiment=nepotistic", "+scale=tiny", "generations=0", "trainer.batch_size=16", "device=cpu"]
    keys = [
        prepare(compose(*line, *more)).plan.steps[0].fit for more in ([], ["trainer.devices=1"], ["trainer.devices=2"])
    ]
    assert keys[0] == keys[1] != keys[2]


def test_rows_that_are_mapped_are_mapped_again_and_not_copied(tmp_path: Path) -> None:
    path, stored = tmp_path / "rows.safetensors", torch.arange(60000).view(1000, 60)
    save_file({"first": torch.ones(3), "rows": stored}, path)
    view = View([Source(load_file(path)["rows"][100:], MappedFile.of(path))], torch.tensor([5, 0, 7]))
    pickled = pickle.dumps(view)
    assert len(pickled) < 3000
    assert torch.equal(pickle.loads(pickled)[:], stored[[105, 100, 107]])
    replaced = tmp_path / "other"
    replaced.write_bytes(b"")
    replaced.rename(path)  # so that the rows are in no file any more that has a name
    assert torch.equal(pickle.loads(pickle.dumps(view))[:], stored[[105, 100, 107]])
