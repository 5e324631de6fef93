"""One command: `collapse-lab run|report|verify|sync|status|…` (`COMMANDS`); without a word it is `run`."""

from __future__ import annotations

import hashlib
import importlib
import os
import select
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NoReturn

from collapse_lab import __version__
from collapse_lab.cli.secrets import hide_in_errors, move_secrets
from collapse_lab.storage.redaction import redacted

# Word -> the module whose `main` takes the arguments behind it and returns the exit code
COMMANDS = {
    "report": "collapse_lab.report.__main__",
    "verify": "collapse_lab.verify.__main__",
    "sync": "collapse_lab.cli.sync",
    "status": "collapse_lab.cli.status",
    "export": "collapse_lab.cli.export",
    "prefetch": "collapse_lab.cli.prefetch",
    "plan": "collapse_lab.cli.plan",
    "dashboard": "collapse_lab.cli.dashboard",
}


def main() -> None:
    """Run the command that the first word names; exit code 0 when all is well, 2 for bad input, 130 after Ctrl-C."""
    with _until_nobody_reads():
        _dispatch()


@contextmanager
def _until_nobody_reads() -> Iterator[None]:
    """Leave with the exit code of SIGPIPE, and without a word, where nobody reads the output on, as behind `| head`."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        if not any(event & select.POLLERR for _, event in poll.poll(0)):
            raise  # because it was another pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # because Python flushes once more at its end
        sys.exit(141)


def _config_folders(arguments: Sequence[str]) -> list[str]:
    """Return what the command line gives as `--config-dir`, after a check of all its options.

    An option that Hydra does not have is refused in one line, and not with a page of options.

    Raises:
        UserError: an unknown option, or one without its value.
    """
    from hydra._internal.utils import get_args_parser

    from collapse_lab.errors import UserError, did_you_mean

    def refuse(message: str) -> NoReturn:
        raise UserError(f"{message}; collapse-lab --hydra-help lists the options")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    flags = [text for action in parser._actions for text in action.option_strings]
    known, others = parser.parse_known_args(arguments)
    for argument in others:
        if argument.startswith("-"):
            raise UserError(f"unknown option '{argument}'; {did_you_mean(argument, flags)}")
        raise UserError(f"'{argument}' stands behind an option, and other keys before it; write all KEY=VALUE together")
    return [known.config_dir] if known.config_dir else []


def _only_failed() -> bool:
    """Return whether the cells of the sweep that have ended well are left out.

    Raises:
        SystemExit: the environment variable says something else.
    """
    only = os.environ.get("COLLAPSE_LAB_ONLY", "")
    if only not in ("", "failed"):
        print(f"collapse_lab: COLLAPSE_LAB_ONLY is failed, or it is not set; got '{only}'", file=sys.stderr)
        sys.exit(2)
    return only == "failed"


def _dispatch() -> None:
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    if word in COMMANDS:
        sys.exit(importlib.import_module(COMMANDS[word]).main(sys.argv[2:]))
    if word == "run":
        del sys.argv[1]
    if "--version" in sys.argv[1:]:
        print(f"collapse_lab {__version__}")
        return
    hide_in_errors(sys.argv[1:])
    sys.argv[1:] = move_secrets(sys.argv[1:], os.environ)
    os.environ["COLLAPSE_LAB_LINE"] = shlex.join(["collapse-lab", *map(redacted, sys.argv[1:])])
    # Because the cells of one sweep line meet in one folder, the same line again means the same sweep
    line = "\0".join(sorted(sys.argv[1:]))
    os.environ["COLLAPSE_LAB_SWEEP"] = hashlib.sha256(line.encode()).hexdigest()[:10]
    # Because of it Hydra raises its errors instead of printing them, and they can be explained
    os.environ["HYDRA_FULL_ERROR"] = "1"
    # Imported here, because the other commands do without Hydra
    import hydra

    from collapse_lab.cli import helptext, launchers
    from collapse_lab.cli.mode import composing_once
    from collapse_lab.cli.run import Launch, exit_codes
    from collapse_lab.cli.workers import LAUNCHER, relaunching
    from collapse_lab.config.composing import VERSION_BASE
    from collapse_lab.config.explain import check_choices
    from collapse_lab.config.scales import at_scale
    from collapse_lab.config.searchpath import CONF, add_folders, folders, register

    os.environ[LAUNCHER] = str(os.getpid())
    launch = Launch(_only_failed())
    with exit_codes(), launch.serving_queue():
        register()
        launchers.register()
        add_folders(_config_folders(sys.argv[1:]))
        check_choices(sys.argv[1:], folders())
        sys.argv[1:] = at_scale(sys.argv[1:], folders())
        helptext.register()
        program = hydra.main(config_path=str(CONF), config_name="config", version_base=VERSION_BASE)(launch.task)
        with composing_once(), relaunching(partial(launch.start, program)):
            program()
