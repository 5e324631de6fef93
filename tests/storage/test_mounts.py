"""Which locks a folder takes, by the table of mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from collapse_lab.errors import UserError
from collapse_lab.storage.mounts import KNOB, Mount, locks_of, mount_of, settle_locks

TABLE = """\
/dev/root / ext4 rw,relatime 0 0
server:/lab /lab nfs4 rw,vers=4.2,local_lock=none 0 0
server:/old /lab/old nfs rw,vers=3,nolock 0 0
/dev/sdb /lab/old/disk\\040two ext4 rw 0 0
host:/x /sshfs fuse.sshfs rw 0 0
"""


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(KNOB, raising=False)
    path = tmp_path / "mounts"
    path.write_text(TABLE)
    return path


@pytest.mark.parametrize(
    ("folder", "kind", "locks"),
    [
        ("/home/x", "ext4", "system"),
        ("/lab/runs/.store", "nfs4", "lease"),
        ("/laboratory", "ext4", "system"),
        ("/lab/old/runs", "nfs", "lease"),
        ("/lab/old/disk two/runs", "ext4", "system"),
        ("/sshfs/runs", "fuse.sshfs", "lease"),
    ],
)
def test_the_longest_mount_point_counts(folder: str, kind: str, locks: str, table: Path) -> None:
    assert mount_of(Path(folder), table).kind == kind
    assert locks_of(Path(folder), table) == locks


def test_a_system_without_a_table_takes_its_own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KNOB, raising=False)
    assert mount_of(tmp_path, tmp_path / "missing") == Mount()
    assert locks_of(tmp_path, tmp_path / "missing") == "system"


def test_the_locks_can_be_chosen_and_those_that_do_not_hold_are_refused(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KNOB, "lease")
    assert locks_of(Path("/home"), table) == "lease"
    monkeypatch.setenv(KNOB, "system")
    assert locks_of(Path("/lab/runs"), table) == "system"
    with pytest.raises(UserError, match="mounted with nolock, under which a lock of the system stays on this machine"):
        locks_of(Path("/lab/old/runs"), table)
    monkeypatch.setenv(KNOB, "flock")
    with pytest.raises(UserError, match="is auto, system or lease; got 'flock'"):
        locks_of(Path("/home"), table)


def test_two_machines_with_unlike_locks_do_not_share_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KNOB, "system")
    settle_locks(tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv(KNOB, "lease")
    settle_locks(tmp_path)
    settle_locks(tmp_path)
    monkeypatch.setenv(KNOB, "system")
    with pytest.raises(
        UserError, match="has leases of another machine or run, and this machine would take locks of the system"
    ):
        settle_locks(tmp_path)
