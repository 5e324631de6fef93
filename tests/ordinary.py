"""Run programs as ordinary users, for whom a folder without write permission is one that cannot be written to.

Tests often run as root, who may write everywhere.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

from tests.e2e.command import ROOT, environment

NOBODY = 65534
# The one power of root that the programs keep: to read, because the Python of a root's tests may lie in root's home
READ = "-all,+dac_read_search"


def as_nobody(arguments: Sequence[str]) -> list[str]:
    """Return the command of a Python whose user may write only where everybody may; ours where we are not root."""
    who = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", f"--inh-caps={READ}"]
    prefix = [*who, f"--ambient-caps={READ}"] if os.geteuid() == 0 else []
    return [*prefix, sys.executable, *arguments]


@cache
def why_impossible() -> str:
    """Return why no program can run as an ordinary user here; "" where one can."""
    try:
        program = as_nobody(["-c", "import os, numpy; assert os.geteuid(); open('/etc/x', 'w')"])
        done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, env=environment(), check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return f"no process of another user can be started: {error}"
    refused = "PermissionError" in done.stderr or "Read-only file system" in done.stderr
    return "" if refused else f"an ordinary user cannot run this Python: {done.stderr.strip()[-200:]}"


@pytest.fixture
def common() -> Iterator[Path]:
    """Return an empty folder that every user may reach and write to; tmp_path belongs to its user alone."""
    if reason := why_impossible():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="collapse_lab_test_"))
    folder.chmod(0o777)
    yield folder
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o777)
    shutil.rmtree(folder)
