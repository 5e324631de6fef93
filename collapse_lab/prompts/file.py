"""Prompt set that the user wrote into a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.prompts.base import Prompts, label_of
from collapse_lab.types import Captions, Conditions, Rows, Samples, Spec

SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class File(Prompts):
    """Give the prompts of a file in its order, and start again when they run out.

    A prompt that is also a caption of training rows takes the label of those rows, the smallest one where there are
    several. Any other prompt takes the label of the class whose word it contains, or -1.

    A yaml file looks like this. Each template is filled with every combination of words; the last slot changes fastest:

        templates: ["a {colour} {thing}", "a photo of a {thing}"]
        slots: {colour: [red, blue], thing: [car, bird]}

    Args:
        path: a text file with one prompt per line, where blank lines and lines that begin with # are skipped; or a
            yaml file with `templates`, sentences with slots in braces, and `slots`, the words of each slot.

    Raises:
        UserError: when the prompts are read and the file is missing, empty or malformed.
    """

    path: str

    def holds(self, label: int, caption: str | None) -> bool:
        """Return whether the caption is one of the prompts of the file."""
        del label
        return caption in self._distinct

    def member(self, samples: Samples[Rows]) -> np.ndarray:
        """Return a mask (n,) bool of the rows whose caption is in the file; all rows where there is no such row."""
        mask = super().member(samples)
        return mask if mask.any() else np.ones(len(samples), bool)

    def conditions(self, n: int, train: Samples[Rows], spec: Spec) -> Conditions:
        """Return conditions with the first n prompts of the file, repeated from the start if n is larger.

        Raises:
            UserError: when n is below 1, or the file cannot be read.
        """
        if n < 1:
            raise UserError(f"a prompt set needs a positive number of samples, got {n}: raise n_samples")
        known: dict[str, int] = {}
        for label, prompts in self._of_rows(train).items():
            for prompt in prompts:
                known.setdefault(prompt, label)
        labels = {text: known.get(text, label_of(text, spec.classes)) for text in self._distinct}
        texts = [self.prompts[i % len(self.prompts)] for i in range(n)]
        return Conditions(np.array([labels[text] for text in texts], np.int64), Captions.of(texts))

    @cached_property
    def prompts(self) -> tuple[str, ...]:
        """Return the prompts, in the order of the file."""
        path = Path(self.path).expanduser()
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"the prompts of {self.path} cannot be read ({error}): correct the path") from error
        if path.suffix in (".yaml", ".yml"):
            prompts = _filled(text, self.path)
        else:
            lines = [line.strip() for line in text.splitlines()]
            prompts = [line for line in lines if line and not line.startswith("#")]
        if not prompts:
            raise UserError(f"{self.path} should hold one prompt per line, and holds none: write some")
        return tuple(prompts)

    @cached_property
    def _distinct(self) -> frozenset[str]:
        return frozenset(self.prompts)


def _filled(text: str, path: str) -> list[str]:
    import yaml

    example = 'templates: ["a {colour} car"] and slots: {colour: [red, blue]}'
    try:
        body = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not yaml ({error}): write {example}") from error
    if not isinstance(body, dict) or not set(body) <= {"templates", "slots"} or not _has_lists(body):
        raise UserError(f"{path} should hold lists of texts, {example}, it holds {str(body)[:200]}")
    slots: dict[str, list[str]] = body.get("slots", {})
    prompts = []
    for template in body["templates"]:
        names = list(dict.fromkeys(SLOT.findall(template)))
        for name in names:
            if name not in slots:
                raise UserError(f"{path} has a slot {{{name}}} without words: {did_you_mean(name, slots)}")
        for words in product(*(slots[name] for name in names)):
            word_of = dict(zip(names, words, strict=True))
            # SLOT.split gives text and slot names in turns
            pieces = enumerate(SLOT.split(template))
            prompts.append("".join(str(word_of[piece]) if i % 2 else piece for i, piece in pieces))
    return prompts


def _has_lists(body: dict[str, Any]) -> bool:
    templates, slots = body.get("templates"), body.get("slots", {})
    has_templates = isinstance(templates, list) and all(isinstance(template, str) for template in templates)
    return (
        has_templates and isinstance(slots, dict) and all(isinstance(words, list) and words for words in slots.values())
    )
