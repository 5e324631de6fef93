"""Fill templates with every combination of the words of their slots."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import product

from collapse_lab.errors import UserError, did_you_mean

SLOT = re.compile(r"\{(\w+)\}")
MOST = 1_000_000  # prompts of one set; five lists of a hundred words would be ten thousand times as many


def filled(templates: Sequence[str], slots: Mapping[str, Sequence[str]], where: str) -> tuple[str, ...]:
    """Return every template with every combination of words; the last slot changes fastest.

    Args:
        templates: sentences with slots in braces, such as "a photo of a {age} {person}".
        slots: the words of each slot.
        where: where they were written, as messages name it.

    Raises:
        UserError: there is no template, a slot has no list of words, a list belongs to no template, a brace is left,
            or there would be more than a million prompts.
    """
    if not templates or not all(template.strip() for template in templates):
        what = "an empty one" if templates else "none"
        raise UserError(f'{where} should hold templates, and holds {what}: write templates: ["a photo of a {{thing}}"]')
    _check(templates, slots, where)
    number = sum(math.prod(len(slots[name]) for name in _names(template)) for template in templates)
    if number > MOST:
        raise UserError(f"{where} makes {number:,} prompts, and at most {MOST:,} are taken: give shorter lists")
    prompts = []
    for template in templates:
        names = _names(template)
        for words in product(*(slots[name] for name in names)):
            word_of = dict(zip(names, words, strict=True))
            # SLOT.split gives text and slot names in turns
            pieces = enumerate(SLOT.split(template))
            prompts.append("".join(word_of[piece] if i % 2 else piece for i, piece in pieces))
    return tuple(prompts)


def _names(template: str) -> list[str]:
    return list(dict.fromkeys(SLOT.findall(template)))


def _check(templates: Sequence[str], slots: Mapping[str, Sequence[str]], where: str) -> None:
    used = {name for template in templates for name in _names(template)}
    for template in templates:
        if set("{}") & set(SLOT.sub("", template)):
            raise UserError(f"{where}: the slots of '{template}' should be single words in braces, such as {{thing}}")
        for name in _names(template):
            if name not in slots:
                advice = did_you_mean(name, slots) if slots else f"write slots: {{{name}: [red, blue]}}"
                raise UserError(f"{where} has a slot {{{name}}} without words: {advice}")
    for name, words in slots.items():
        if name not in used:
            raise UserError(f"{where} has words for '{name}', and no template has the slot {{{name}}}: remove them")
        if not words or not all(word.strip() for word in words):
            raise UserError(f"{where} should list one word or more for the slot {{{name}}}, got {list(words)}")
