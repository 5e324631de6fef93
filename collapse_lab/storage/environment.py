"""Describe where a run's numbers come from: code, packages, machine, command."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from collapse_lab.storage.redaction import redacted

PACKAGES = ("collapse-lab", "torch", "diffusers", "pytorch-lightning", "hydra-core", "numpy")


def describe_environment(paths: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Return the commit and whether the tree differs from it, package versions, machine, command line and paths.

    The command line is written without the values of secrets (`redaction`).

    Args:
        paths: the folders of the run.
        device: cpu or cuda. A GPU is asked for its name where the run uses it, because asking wakes it.
    """
    import torch

    return {
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain")),
        "packages": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "machine": {
            "platform": platform.platform(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        },
        "command": [redacted(argument) for argument in sys.argv],
        "paths": dict(paths),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _git(*arguments: str) -> str | None:
    here = Path(__file__).resolve().parent
    try:
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):  # because it is an installed wheel, or there is no git
        return None
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
