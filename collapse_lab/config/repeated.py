"""Refuse a key that a mapping on the command line has twice, because Hydra would keep the last one alone."""

from __future__ import annotations

from collapse_lab.errors import UserError

OPEN, CLOSE = "{[(", "}])"


def check_repeated(override: str) -> None:
    """Refuse an override such as `population.members={a:{},a:{}}`, whose second `a` would replace the first one.

    Args:
        override: what the user typed.

    Raises:
        UserError: a mapping of its value has a key twice.
    """
    place, _, value = override.partition("=")
    open_ones: list[tuple[str, list[str]]] = []  # each open bracket, and the keys of a mapping so far
    word, quote = "", ""
    for letter in value:
        if quote:
            quote = "" if letter == quote else quote
            word += letter
        elif letter in "'\"":
            quote, word = letter, word + letter
        elif letter in OPEN:
            open_ones.append((letter, []))
            word = ""
        elif letter in CLOSE:
            if open_ones:
                open_ones.pop()
            word = ""
        elif letter == ",":
            word = ""
        elif letter == ":" and open_ones and open_ones[-1][0] == "{":
            key, keys = word.strip().strip("'\""), open_ones[-1][1]
            if key in keys:
                raise UserError(
                    f"{place} has the key '{key}' twice, and keys of a mapping differ; rename one of the two"
                )
            keys.append(key)
            word = ""
        else:
            word += letter
