"""Take secrets off the command line at once, because many files hold a copy of it: Hydra's, W&B's, submitit's, ours."""

from __future__ import annotations

import sys
from collections.abc import MutableMapping, Sequence
from typing import Any, TextIO

from collapse_lab.storage.redaction import redacted, without_secrets

PLACE = "hydra.job.env_set"  # the overrides that set environment variables of the cells


class Hiding:
    """Write to a stream, with *** in the place of every secret of a command line."""

    def __init__(self, stream: TextIO, arguments: Sequence[str]) -> None:
        self._stream, self._arguments = stream, arguments

    def write(self, text: str) -> int:
        """Write a text without its secrets, and return how many characters were written."""
        return self._stream.write(without_secrets(text, self._arguments))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def hide_in_errors(arguments: Sequence[str]) -> None:
    """Let no message show a secret: of a failed job Hydra prints all overrides, and a traceback may hold any value.

    Args:
        arguments: the command line; where it holds no secret, nothing is changed.
    """
    if any(redacted(argument) != argument for argument in arguments):
        sys.stderr = Hiding(sys.stderr, list(arguments))


def move_secrets(arguments: Sequence[str], environment: MutableMapping[str, str]) -> list[str]:
    """Return a command line without overrides of environment variables that look like secrets.

    Their values become variables of this process, which cells inherit, as processes and as SLURM jobs.

    Args:
        arguments: such as `++hydra.job.env_set.WANDB_API_KEY=…` and `hydra.job.env_set={HF_TOKEN: …}`.
        environment: the variables of this process.
    """
    kept = []
    for argument in arguments:
        is_ours = argument.lstrip("+").startswith(PLACE) and redacted(argument) != argument
        variables = _variables(argument) if is_ours else {}
        environment.update(variables)
        kept += [] if variables else [argument]
    return kept


def _variables(argument: str) -> dict[str, str]:
    """Return the variables that an override sets; none where Hydra will refuse it, or it lists several values."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(argument)
    except HydraException:
        return {}
    name = override.key_or_group.removeprefix(PLACE).removeprefix(".")
    if override.is_sweep_override() or override.is_delete():
        return {}
    value = override.value()
    if not name:
        return {str(key): str(text) for key, text in value.items()} if isinstance(value, dict) else {}
    # Because the grammar reads 1e5 as a number, take the text as it was typed, less its quotes
    return {name: value if isinstance(value, str) else argument.partition("=")[2]}
