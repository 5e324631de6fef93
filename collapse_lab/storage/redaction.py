"""Replace secrets of a command line, such as API keys and passwords, before it is written to a file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

HIDDEN = "***"
# A part of a key, between its dots, underscores and dashes, that ends with one of these words: WANDB_API_KEY, apikey,
# HF_TOKEN; not tokenizer, and not max_tokens, which counts
SECRET = re.compile(r"(?i)(key|token|secrets?|password|passwd|passphrase|credentials?)$")
PARTS = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")  # apiKey has the parts api and Key
NAMES = re.compile(r"""([\w.@/-]+)["']?\s*[:=]""")  # the names in {WANDB_API_KEY: 1, 'HF_TOKEN': 2}
SEPARATORS = re.compile(r"""[\s,:{}\[\]'"]+""")
SHORTEST = 6  # characters of a secret; shorter texts stand in messages for other reasons


def redacted(argument: str) -> str:
    """Return an argument of the command line with *** in the place of a secret value.

    The value of an override is secret if its key looks like a secret (`is_secret`). A value in braces, as in
    `hydra.job.env_set={WANDB_API_KEY: …}`, is replaced as a whole if a name in it looks like one.

    Args:
        argument: such as `ratio=0.1` or `++hydra.job.env_set.WANDB_API_KEY=abc`.
    """
    key, sign, value = argument.partition("=")
    return f"{key}={HIDDEN}" if sign and value and _has_secret(key, value) else argument


def without_secrets(text: str, arguments: Iterable[str]) -> str:
    """Return a text with *** in the place of every secret value of a command line.

    Args:
        text: such as an error message, which may quote an override.
        arguments: the command line.
    """
    for argument in arguments:
        key, _, value = argument.partition("=")
        if value and _has_secret(key, value):
            # A sweep lists several values, and braces hold several, of which a message may quote one
            for secret in sorted({value, *SEPARATORS.split(value)}, key=len, reverse=True):
                text = text.replace(secret, HIDDEN) if len(secret) >= SHORTEST else text
    return text


def redacted_values(value: Any) -> Any:
    """Return a configuration with *** in the place of every text whose key looks like a secret.

    Args:
        value: a mapping, a list, or what they hold.
    """
    if isinstance(value, Mapping):
        return {
            key: HIDDEN if isinstance(inner, str) and is_secret(str(key)) else redacted_values(inner)
            for key, inner in value.items()
        }
    return [redacted_values(inner) for inner in value] if isinstance(value, list | tuple) else value


def is_secret(key: str) -> bool:
    """Return whether a key names a secret: one of its words ends with key, token, secret, password or the like."""
    return any(SECRET.search(part) for part in PARTS.split(key))


def _has_secret(key: str, value: str) -> bool:
    return is_secret(key) or ("{" in value and any(map(is_secret, NAMES.findall(value))))
