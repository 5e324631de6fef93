"""One command: `collapse-lab run|report|verify|sync|status`; without a word it is `run`."""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from functools import partial

from collapse_lab.cli.secrets import move_secrets

# Word -> the module whose `main` takes the arguments behind it and returns the exit code
COMMANDS = {
    "report": "collapse_lab.report.__main__",
    "verify": "collapse_lab.verify.__main__",
    "sync": "collapse_lab.cli.sync",
    "status": "collapse_lab.cli.status",
}


def main() -> None:
    """Run the command that the first word names; exit code 0 when all is well, 2 for bad input, 130 after Ctrl-C."""
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    if word in COMMANDS:
        sys.exit(importlib.import_module(COMMANDS[word]).main(sys.argv[2:]))
    if word == "run":
        del sys.argv[1]
    sys.argv[1:] = move_secrets(sys.argv[1:], os.environ)
    # Because the cells of one sweep line meet in one folder, the same line again means the same sweep
    line = "\0".join(sorted(sys.argv[1:]))
    os.environ["COLLAPSE_LAB_SWEEP"] = hashlib.sha256(line.encode()).hexdigest()[:10]
    # Because of it Hydra raises its errors instead of printing them, and they can be explained
    os.environ["HYDRA_FULL_ERROR"] = "1"
    # Imported here, because the other commands do without Hydra
    import hydra

    from collapse_lab.cli import helptext
    from collapse_lab.cli.run import Launch, exit_codes
    from collapse_lab.cli.workers import LAUNCHER, relaunching
    from collapse_lab.config.composing import VERSION_BASE
    from collapse_lab.config.searchpath import CONF, register

    os.environ[LAUNCHER] = str(os.getpid())
    launch = Launch()
    with exit_codes(), launch.serving_queue():
        register()
        helptext.register()
        program = hydra.main(config_path=str(CONF), config_name="config", version_base=VERSION_BASE)(launch.task)
        with relaunching(partial(launch.start, program)):
            program()
