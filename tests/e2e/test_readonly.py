"""Folders and files that an ordinary user may not write to end a run in one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.datasets.archives import write_flowers
from tests.e2e.command import PIXELS, ROOT, environment
from tests.nursery import Nursery
from tests.ordinary import as_nobody, why_impossible
from tests.ordinary import common as common

NAME = "recursive_gaussian"  # a closed form, because nothing here depends on what is computed
ARGS = [f"+experiment={NAME}", "model.replicas=2", "n_train=8", "store=all", "sinks=[]", "device=cpu", "generations=0"]
PICTURES = [*PIXELS, "generations=0"]


@pytest.fixture(scope="module")
def nobody() -> Iterator[Nursery]:
    """Return a nursery whose children run as an ordinary user."""
    if reason := why_impossible():
        pytest.skip(reason)
    place = Path(tempfile.mkdtemp(prefix="collapse_lab_nursery_"))
    place.chmod(0o777)
    process = subprocess.Popen(
        as_nobody(["-m", "tests.e2e.nursery"]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(PYTHONDONTWRITEBYTECODE="1", HOME=str(place), CLOSED_FORM="1"),
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield Nursery(process, place)
    assert process.stdin is not None
    process.stdin.close()
    process.wait(timeout=30)
    shutil.rmtree(place)


def places(common: Path, **changes: Path) -> list[str]:
    paths = {"runs": common / "runs", "store": common / "store", "data": common / "data", **changes}
    return [f"paths.{name}={path}" for name, path in paths.items()]


def refused(nobody: Nursery, args: list[str]) -> str:
    """Return the one line in which a command is refused; the console's lines on a run that had begun come before it."""
    end = nobody.run(args)
    assert end.code == 2, end.err
    assert "Traceback" not in end.err
    line = end.err.splitlines()[-1]
    assert line.startswith("collapse_lab: ")
    assert end.err.count("Permission denied") == 1
    assert "Permission denied" in line
    return line


@pytest.mark.parametrize("sweep", [[], ["-m"]], ids=["run", "sweep"])
@pytest.mark.parametrize("below", [".", "new/deep"])
@pytest.mark.parametrize("name", ["runs", "store"])
def test_a_closed_folder_is_named_with_the_setting_that_moves_it(
    nobody: Nursery, common: Path, name: str, below: str, sweep: list[str]
) -> None:
    (common / "closed").mkdir(mode=0o555)
    end = nobody.run([*sweep, *ARGS, *places(common, **{name: common / "closed" / below})])
    assert end.code == 2, end.err
    lines = [line for line in end.err.splitlines() if not line.startswith(("Error executing job", "failed: "))]
    assert lines[0].startswith(f"collapse_lab: cannot write to {common / 'closed'}")
    assert "(Permission denied)" in lines[0]
    assert f"paths.{name}=" in lines[0]
    assert "Traceback" not in end.err


def test_a_closed_cache_is_named_by_every_reader(nobody: Nursery, common: Path) -> None:
    (common / "closed").mkdir(mode=0o555)
    (common / "flowers").mkdir()
    write_flowers(common / "flowers")
    closed = places(common, data=common / "closed")
    for args in (
        ["dataset=flowers102", f"dataset.root={common / 'flowers'}", "dataset.image_size=8", *PICTURES],
        ["dataset=mnist", *PICTURES],
    ):
        line = refused(nobody, [*args, *closed])
        assert str(common / "closed") in line
        assert "paths.data" in line


def close_stages(common: Path) -> Path:
    for name in (".tmp", ".locks", "fit"):
        (common / "store" / name).mkdir(parents=True)
    for name in (".tmp", ".locks", "."):
        (common / "store" / name).chmod(0o777)
    (common / "store" / "fit").chmod(0o555)
    return common / "store" / "fit"


def close_lock(common: Path) -> Path:
    """Leave the lock of a stage as another user with a strict umask leaves it."""
    (common / "store").mkdir()
    (common / "store").chmod(0o777)
    (common / "store" / ".locks").write_text("a file where a folder should be")
    (common / "store" / ".locks").unlink()
    (common / "store" / ".locks").mkdir(mode=0o555)
    return common / "store" / ".locks"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can leave files of another user")
@pytest.mark.parametrize("close", [close_stages, close_lock])
def test_a_store_that_is_closed_inside_is_named(nobody: Nursery, common: Path, close: Callable[[Path], Path]) -> None:
    place = close(common)
    assert str(place) in refused(nobody, [*ARGS, *places(common)])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can leave files of another user")
@pytest.mark.parametrize("name", ["ledger.jsonl", ".lock"])
def test_a_run_folder_with_a_file_of_another_user_is_named(nobody: Nursery, common: Path, name: str) -> None:
    assert nobody.run([*ARGS, *places(common)]).code == 0
    (folder,) = (common / "runs" / NAME).iterdir()
    ledger = (folder / "ledger.jsonl").read_bytes()
    (folder / name).unlink()
    (folder / name).touch(mode=0o444)
    if name != "ledger.jsonl":
        (folder / "ledger.jsonl").write_bytes(ledger[:-5])
    assert str(folder / name) in refused(nobody, [*ARGS, *places(common)])
    (folder / name).unlink()
    end = nobody.run([*ARGS, *places(common)])
    assert end.code == 0, end.err
