"""Files of a store follow the umask, so that the users of a group can share it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_IMODE

import pytest

from tests.e2e.command import environment
from tests.ordinary import common as common
from tests.stored import entry, opened, put


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600), (0o027, 0o640)])
def test_every_file_of_a_store_follows_the_umask(tmp_path: Path, mask: int, mode: int) -> None:
    with umask(mask):
        store = opened(tmp_path / "store")
        put(store)
    files = [path for path in store.root.rglob("*") if path.is_file()]
    assert {path.name for path in entry(store).iterdir()} <= {path.name for path in files}
    assert {path.name: oct(S_IMODE(path.stat().st_mode)) for path in files} == {p.name: oct(mode) for p in files}
    folders = [path for path in store.root.rglob("*") if path.is_dir()]
    assert {S_IMODE(path.stat().st_mode) for path in folders} == {0o777 & ~mask}


SHARE = """
import os, sys
from pathlib import Path
import torch
from tests.stored import KEY, OTHER, opened, payload, put

def never():
    raise AssertionError("computed again")

def first(store):
    put(store)

def second(store):
    read = store.obtain("fit", KEY, never, {})
    assert torch.equal(read.tensors["n"], torch.arange(5)), read
    put(store, OTHER)
    store.forget("fit", KEY)
    put(store)

warm = opened(Path(sys.argv[1], "warm"))  # so that everything is imported, which no user but root may read
first(warm), second(warm)
os.umask(0o002)
for user, turn in ((65534, first), (65533, second), (65534, second)):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(user)
            turn(opened(Path(sys.argv[1], "store")))
            code = 0
        except BaseException as error:
            print(user, turn.__name__, repr(error), file=sys.stderr, flush=True)
        os._exit(code)
    if os.waitpid(child, 0)[1]:
        sys.exit(1)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become two other users")
def test_two_users_of_a_group_share_a_store(common: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHARE, str(common)], capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr
    tensors = [path.stat() for path in (common / "store" / "fit").rglob("*.safetensors")]
    assert {(stat.st_uid, stat.st_gid) for stat in tensors} == {(65533, 65534), (65534, 65534)}
