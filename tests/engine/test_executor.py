from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from collapse_lab.engine import executor
from collapse_lab.engine.executor import Alone
from collapse_lab.engine.silent import Silent
from collapse_lab.errors import Diverged
from collapse_lab.seeds import Seeds
from collapse_lab.storage.files import locked
from collapse_lab.types import Budget, Checkpointing, Conditions, FitRequest, Progress, SampleRequest, Samples
from tests.standins import DIGITS, Gaussian

PLACE = Seeds(0, 2, "model", "fit")
ROWS = DIGITS.load().reference.take(np.arange(3))
CONDITIONS = Conditions(ROWS.labels, ROWS.captions)


class Noting(Gaussian):
    """Keep the arguments of each call, or diverge."""

    def __init__(self, calls: list[tuple[Any, ...]], fails: bool = False) -> None:
        super().__init__(DIGITS.spec)
        self._calls, self._fails = calls, fails

    def fit(self, data: Samples, budget: Budget, seeds: Seeds, progress: Progress) -> None:
        self._calls.append((data, budget, seeds, progress))
        if self._fails:
            raise Diverged("of itself")

    def sample(self, conditions: Conditions, seeds: Seeds, progress: Progress) -> Samples:
        self._calls.append((conditions, seeds, progress))
        return super().sample(conditions, seeds, progress)


def fit_request(model: Gaussian) -> FitRequest:
    return FitRequest(model, {}, ROWS, Budget(3, 4), PLACE, Silent())


def test_a_fit_is_done_at_once_in_this_thread_with_what_the_request_holds() -> None:
    calls: list[tuple[Any, ...]] = []
    request = fit_request(Noting(calls))
    Alone().fit(request)
    assert calls == [(request.data, request.budget, request.seeds, request.progress)]


def test_only_a_family_that_goes_on_from_checkpoints_is_given_one() -> None:
    class Resuming(Noting):
        resumes = True

        def fit(self, data: Samples, budget: Budget, seeds: Seeds, progress: Progress, checkpoint: Any = None) -> None:
            self._calls.append((checkpoint,))

    kept = Checkpointing(Path("nowhere"), "key", 10.0)
    given: list[tuple[Any, ...]] = []
    for checkpoint in (kept, None):
        Alone().fit(replace(fit_request(Resuming(given)), checkpoint=checkpoint))
        plain: list[tuple[Any, ...]] = []
        Alone().fit(replace(fit_request(Noting(plain)), checkpoint=checkpoint))
        assert len(plain) == 1
    assert given == [(kept,), (None,)]


def test_sampling_returns_what_the_model_samples_for_the_request() -> None:
    calls: list[tuple[Any, ...]] = []
    model = Noting(calls)
    request = SampleRequest(model, {}, {}, 2, CONDITIONS, PLACE, Silent())
    samples = Alone().sample(request)
    assert calls == [(request.conditions, request.seeds, request.progress)]
    assert (samples.data == Gaussian(DIGITS.spec).sample(CONDITIONS, PLACE, Silent()).data).all()


def test_a_divergence_is_raised_by_the_executor() -> None:
    with pytest.raises(Diverged, match="of itself"):
        Alone().fit(fit_request(Noting([], fails=True)))


def test_the_clock_is_wall_time() -> None:
    alone = Alone()
    before = time.perf_counter()
    assert before <= alone.clock() <= alone.clock() <= time.perf_counter()


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_an_attempt_that_succeeds_within_a_second_is_not_mentioned(caplog: pytest.LogCaptureFixture) -> None:
    waits: list[float] = []

    def attempt(seconds: float) -> bool:
        waits.append(seconds)
        return True

    with caplog.at_level(logging.DEBUG):
        Alone().wait(attempt, "fit 1234")
    assert waits == [1.0]
    assert messages(caplog) == []


def test_after_a_second_the_user_is_told_and_the_wait_has_no_end(caplog: pytest.LogCaptureFixture) -> None:
    waits: list[float] = []
    said: list[list[str]] = []

    def attempt(seconds: float) -> bool:
        waits.append(seconds)
        said.append(messages(caplog))
        return seconds < 0

    with caplog.at_level(logging.WARNING):
        Alone().wait(attempt, "fit 1234")
    assert waits == [1.0, -1]
    sentence = "waiting for another process that is computing fit 1234"
    assert said == [[], [sentence]]
    assert messages(caplog) == [sentence]


@contextmanager
def held(path: Path) -> Iterator[FileLock]:
    """Hold a lock as another process would."""
    with FileLock(path, thread_local=False) as lock:
        yield lock


def test_a_lock_is_free_again_after_its_block_also_when_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "lock", "work", Alone()):
        raise ZeroDivisionError
    with FileLock(tmp_path / "lock", timeout=0):
        pass


@pytest.mark.parametrize(("patience", "warnings"), [(60.0, 0), (0.01, 1)])
def test_a_lock_is_taken_when_its_holder_lets_go(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    patience: float,
    warnings: int,
) -> None:
    monkeypatch.setattr(executor, "PATIENCE", patience)
    entered = threading.Event()

    def work() -> None:
        with locked(tmp_path / "lock", "grid 5678", Alone()):
            entered.set()

    with caplog.at_level(logging.WARNING):
        with held(tmp_path / "lock"):
            waiter = threading.Thread(target=work)
            waiter.start()
            while warnings and not caplog.records:
                waiter.join(0.01)
            assert not entered.wait(0.1)
        waiter.join(30)
    assert entered.is_set()
    assert messages(caplog) == ["waiting for another process that is computing grid 5678"] * warnings
