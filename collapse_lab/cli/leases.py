"""Leases of GPUs on one machine: a worker takes a place on a GPU before it starts CUDA, and holds it until it ends."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from collapse_lab.errors import UserError
from collapse_lab.storage.files import make_folder

VISIBLE = "CUDA_VISIBLE_DEVICES"
FOLDER = "COLLAPSE_LAB_LEASES"  # the environment variable with the folder of the locks
PERIOD = 0.5  # seconds between two looks for a free place


def gpus_here() -> list[str]:
    """Return the names of the GPUs that this process may compute on, as CUDA_VISIBLE_DEVICES takes them.

    CUDA is not started: the environment is read, or else what `nvidia-smi` lists.
    """
    visible = os.environ.get(VISIBLE)
    if visible is not None:
        names = [name.strip() for name in visible.split(",")]
        return names[: names.index("-1")] if "-1" in names else [name for name in names if name]
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):  # because there is no driver, or it does not answer
        return []
    return listed.stdout.split() if listed.returncode == 0 else []


def chosen_gpus(asked: object, present: Sequence[str]) -> list[str]:
    """Return the GPUs that a sweep may use.

    Args:
        asked: `auto` for all, how many, or a list of their names.
        present: the GPUs of this machine.

    Raises:
        UserError: more GPUs than there are, or others, or not one of the three.
    """
    here = f"this machine has {len(present)}" + (f" ({', '.join(present)})" if present else "")
    if asked == "auto":
        return list(present)
    if isinstance(asked, int) and not isinstance(asked, bool) and asked >= 0:
        if asked > len(present):
            raise UserError(f"hydra.launcher.gpus={asked} asks for more GPUs than there are: {here}; give fewer")
        return list(present[:asked])
    if isinstance(asked, Sequence) and not isinstance(asked, str):
        names = [str(name) for name in asked]
        missing = [name for name in names if name not in present]
        if missing or len(set(names)) < len(names):
            fault = f"GPU {missing[0]}, which is not there" if missing else "a GPU twice"
            raise UserError(f"hydra.launcher.gpus={','.join(names)} names {fault}: {here}; name others")
        return names
    raise UserError(f"hydra.launcher.gpus is auto, a number of GPUs or a list of them; got {asked}")


def lease_folder() -> Path:
    """Return the folder of the locks of this machine's GPUs, one for each user unless COLLAPSE_LAB_LEASES names one."""
    return Path(os.environ.get(FOLDER) or Path(tempfile.gettempdir()) / f"collapse_lab-{getpass.getuser()}-gpus")


def lease(gpus: Sequence[str], cells_per_gpu: int, folder: Path) -> FileLock:
    """Take a place on a GPU, and let this process see that GPU alone; wait while all places are taken.

    The first place of each GPU is taken before the second place of any. The operating system frees the place when the
    process ends, however it ends.

    Args:
        gpus: the names of the GPUs, at least one.
        cells_per_gpu: how many processes may share a GPU.
        folder: where the locks lie.

    Returns:
        The lock of the place, which is held for as long as something refers to it.

    Raises:
        UserError: the folder cannot be written to.
    """
    make_folder(folder, FOLDER)
    told = False
    while True:
        for place in range(cells_per_gpu):
            for gpu in gpus:
                # Because two users may share the folder, each may lock the files of the other
                lock = FileLock(folder / f"{gpu.replace('/', '_')}.{place}", mode=0o666)
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    continue
                os.environ[VISIBLE] = gpu
                return lock
        if not told:
            print("collapse_lab: waiting for a GPU that another sweep has leased", file=sys.stderr, flush=True)
            told = True
        time.sleep(PERIOD)


def workers_of(jobs: int | Literal["auto"], cells: int, places: int, alone: int = 2) -> int:
    """Return how many workers a sweep starts: one for each place on a GPU, `alone` without a GPU, as many as cells.

    Args:
        jobs: how many are asked for; `auto` leaves it open. It is never more than there are places.
        cells: how many cells there are.
        places: how many places all GPUs together have; 0 without a GPU.
        alone: how many there are without a GPU where it is left open.

    Raises:
        UserError: `jobs` is no number of processes.
    """
    if jobs != "auto" and (isinstance(jobs, bool) or not isinstance(jobs, int) or jobs == 0):
        raise UserError(f"hydra.launcher.n_jobs (COLLAPSE_LAB_JOBS) is auto, or a number of processes; got {jobs}")
    most = places or alone
    if jobs != "auto":
        # Because joblib counts -1 as all cores and -2 as all but one
        asked = jobs if jobs > 0 else max(1, (os.cpu_count() or 1) + 1 + jobs)
        most = min(asked, places) if places else asked
    return max(1, min(most, cells))
