"""Locks on a shared file system, with faked clocks; two views of one folder stand for two machines."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from collapse_lab.engine.executor import Alone
from collapse_lab.storage import files
from collapse_lab.storage.leases import FREE, SECONDS, Lease
from collapse_lab.storage.store import Payload, Store

FORK = multiprocessing.get_context("fork")
PATIENCE = 60.0


class Clock:
    """A clock that a test sets."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def views(tmp_path: Path) -> tuple[Path, Path]:
    """Return two paths of one lock, as two machines see it."""
    (tmp_path / "server").mkdir()
    for name in ("one", "two"):
        (tmp_path / name).symlink_to(tmp_path / "server")
    return tmp_path / "one" / "lock", tmp_path / "two" / "lock"


def die(lease: Lease) -> None:
    """Let the holder of a lease be killed: its counter stands still, and nothing is freed."""
    lease._stop.set()


def test_one_holds_the_lock_and_the_other_has_it_after_it_is_free(views: tuple[Path, Path]) -> None:
    one, two = (Lease(view) for view in views)
    assert one.attempt()
    assert not two.attempt()
    assert not Lease(views[0]).acquire(0)
    one.release()
    assert two.attempt()
    assert not one.attempt()
    two.release()


def test_a_look_at_a_lock_says_who_has_it_and_does_not_take_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock"
    monkeypatch.setenv("COLLAPSE_LAB_LOCKS", "system")
    assert files.is_held(path) is None
    with files.locked(path, "work", Alone()):
        assert files.is_held(path) is True
    assert files.is_held(path) is False
    monkeypatch.setenv("COLLAPSE_LAB_LOCKS", "lease")
    assert files.is_held(path) is None
    with files.locked(path, "work", Alone()):
        assert files.is_held(path) is None  # because only time tells whether its holder lives
    assert files.is_held(path) is False


@pytest.mark.parametrize("ahead", [-3600.0, 0.0, 3600.0, 1e9])
def test_a_dead_holder_is_taken_over_after_a_lease_whatever_its_clock_says(
    views: tuple[Path, Path], ahead: float
) -> None:
    clock = Clock(1000.0)
    one, two = Lease(views[0], clock=Clock(1000.0 + ahead)), Lease(views[1], clock=clock)
    assert one.attempt()
    die(one)
    for passed, taken in ((0.0, False), (SECONDS, False), (SECONDS + 0.1, True)):
        clock.now = 1000.0 + passed
        assert two.attempt() is taken
    assert two.is_held
    assert not one.is_held
    two.release()


def test_a_holder_that_is_heard_of_is_never_taken_over(views: tuple[Path, Path]) -> None:
    clock = Clock(0.0)
    one, two = Lease(views[0]), Lease(views[1], clock=clock)
    assert one.attempt()
    for _ in range(20):
        clock.now += 0.9 * SECONDS
        assert one.beat()
        assert not two.attempt()
    one.release()


def test_a_process_that_was_stopped_for_long_learns_that_it_has_lost_and_frees_nothing(
    views: tuple[Path, Path],
) -> None:
    clock = Clock(0.0)
    one, two = Lease(views[0]), Lease(views[1], clock=clock)
    assert one.attempt()
    assert not two.attempt()
    clock.now += SECONDS + 1
    assert two.attempt()
    assert not one.beat()
    assert not one.is_held
    one.release()
    assert two.is_held
    assert not Lease(views[0]).attempt()
    two.release()
    assert Lease(views[0])._last() == FREE


def test_who_has_lost_is_told(tmp_path: Path) -> None:
    told = threading.Event()
    one = Lease(tmp_path / "lock", seconds=0.06, lost=lambda _: told.set())
    assert one.attempt()
    (tmp_path / "lock.1").write_bytes(b"another 1 x 000000000001\n")
    assert told.wait(PATIENCE)
    one.release()


def test_of_many_who_wait_for_a_dead_holder_one_takes_over(tmp_path: Path) -> None:
    dead = Lease(tmp_path / "lock")
    assert dead.attempt()
    die(dead)
    clock = Clock(0.0)
    many = [Lease(tmp_path / "lock", clock=clock) for _ in range(16)]
    assert not any(lease.attempt() for lease in many)
    clock.now += SECONDS + 1
    start, won = threading.Barrier(len(many)), []

    def take(lease: Lease) -> None:
        start.wait()
        won.append(lease.attempt())

    threads = [threading.Thread(target=take, args=(lease,)) for lease in many]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(won) == 1
    for lease in many:
        lease.release()


def test_a_holder_that_died_before_it_wrote_its_name_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "lock.0").touch()
    clock = Clock(0.0)
    lease = Lease(tmp_path / "lock", clock=clock)
    assert not lease.attempt()
    clock.now += SECONDS + 1
    assert lease.attempt()
    lease.release()


class Quick(Lease):
    """A lease of half a second."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, seconds=0.5)


def hold(root: Path, log: Path) -> None:
    """Begin to compute a stage, say so, and never end."""

    def produce() -> Payload:
        log.touch()
        time.sleep(PATIENCE)
        return Payload({}, {"by": "dead"})

    store = Store(root, Alone())
    store.open()
    store.obtain("fit", "k" * 8, produce, {})


def test_a_stage_whose_process_is_killed_is_computed_by_the_one_that_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLLAPSE_LAB_LOCKS", "lease")
    monkeypatch.setattr(files, "Lease", Quick)
    holder = FORK.Process(target=hold, args=(tmp_path, tmp_path / "begun"))
    holder.start()
    end = time.monotonic() + PATIENCE
    while not (tmp_path / "begun").exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert holder.pid is not None
    store = Store(tmp_path, Alone())
    store.open()
    computed: list[Any] = []
    waiting = threading.Thread(
        target=lambda: computed.append(store.obtain("fit", "k" * 8, lambda: Payload({}, {"by": "next"}), {}))
    )
    waiting.start()
    waiting.join(1.5)
    assert not computed  # because the holder is alive, three leases long
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    waiting.join(PATIENCE)
    assert computed[0].meta == {"by": "next"}
    assert Store(tmp_path, Alone()).look_up("fit", "k" * 8).meta == {"by": "next"}


def test_a_process_that_was_taken_for_dead_does_not_harm_what_the_next_has_committed(tmp_path: Path) -> None:
    """Both commit the same stage; the second finds it there, and leaves it as it is."""
    slow, quick = Store(tmp_path, Alone()), Store(tmp_path, Alone())
    slow.open()

    def produce() -> Payload:
        quick._commit("fit", "k" * 8, Payload({}, {"by": "quick"}), {})
        return Payload({}, {"by": "slow"})

    slow.obtain("fit", "k" * 8, produce, {})
    assert slow.look_up("fit", "k" * 8).meta == {"by": "quick"}
    assert list((tmp_path / ".tmp").iterdir()) == []
