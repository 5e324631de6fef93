"""What file system a folder lies on, and which locks hold there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from collapse_lab.errors import UserError

Locks = Literal["system", "lease"]

KNOB = "COLLAPSE_LAB_LOCKS"  # the environment variable that chooses the locks: auto, system or lease
MARK = ".leases"  # the file in a store's folder of locks that says that they are leases
TABLE = Path("/proc/self/mounts")
# File systems that several machines may have mounted at once, and options under which a lock stays on its machine
SHARED = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "9p", "afs", "panfs")
LOCAL_OPTIONS = (
    "nolock",
    "local_lock=all",
    "local_lock=flock",
    "localflock",
)


@dataclass(frozen=True)
class Mount:
    """Hold what a folder lies on: its type, such as `nfs4`, and the options that it is mounted with."""

    kind: str = ""
    options: tuple[str, ...] = ()

    @property
    def is_shared(self) -> bool:
        """Return whether several machines may have it mounted."""
        return self.kind in SHARED or self.kind.removeprefix("fuse.") in (*SHARED, "sshfs", "s3fs", "juicefs")


def mount_of(folder: Path, table: Path = TABLE) -> Mount:
    """Return what a folder lies on; nothing is known of it where the system has no table of mounts.

    Args:
        folder: the folder, which need not exist yet.
        table: the system's table of mounts.
    """
    try:
        lines = table.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return Mount()
    real = os.path.realpath(folder)
    found, longest = Mount(), -1
    for fields in (line.split(" ") for line in lines):
        if len(fields) < 4:
            continue
        place = fields[1].encode().decode("unicode_escape").rstrip("/")
        if (real + "/").startswith(place + "/") and len(place) >= longest:  # of two at one place the later one counts
            found, longest = Mount(fields[2], tuple(fields[3].split(","))), len(place)
    return found


def locks_of(folder: Path, table: Path = TABLE) -> Locks:
    """Return which locks a folder takes: leases where machines may share it, else those of the operating system.

    Raises:
        UserError: COLLAPSE_LAB_LOCKS says something else, or asks for locks of the system that stay on one machine.
    """
    asked = os.environ.get(KNOB, "") or "auto"
    if asked not in ("auto", "system", "lease"):
        raise UserError(f"{KNOB} is auto, system or lease; got '{asked}'")
    if asked == "lease":
        return "lease"
    mount = mount_of(folder, table)
    if asked == "auto":
        return "lease" if mount.is_shared else "system"
    local = [option for option in mount.options if option in LOCAL_OPTIONS]
    if mount.is_shared and local:
        raise UserError(
            f"{KNOB}=system, and {folder} is mounted with {local[0]}, under which a lock of the system stays on this "
            f"machine; give {KNOB}=lease on every machine, or mount it without {local[0]}"
        )
    return "system"


def settle_locks(folder: Path) -> None:
    """Write that a folder takes leases, or check that a machine which takes locks of the system is alone there.

    Args:
        folder: the folder of the locks.

    Raises:
        UserError: another machine has taken leases there, so that neither would see the locks of the other.
    """
    locks, mark = locks_of(folder), folder / MARK
    if locks == "lease":
        mark.touch()
    elif mark.exists():
        raise UserError(
            f"{folder} has leases of another machine or run, and this machine would take locks of the system there, so "
            f"that neither would see the other's; give {KNOB}=lease, or, while nothing runs, delete {mark}"
        )
