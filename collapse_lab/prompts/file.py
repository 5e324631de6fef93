"""Prompts that the user wrote into a file."""

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
from collapse_lab.types import Captions, Conditions, Samples, Spec

SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class File(Prompts):
    """The prompts of a file, in its order, again from the start when they run out.

    path: a text file with a prompt a line, where blank lines and lines that begin with # are passed over; or
        a yaml file with `templates`, sentences with slots in braces, and `slots`, the words of each:

            templates: ["a {colour} {thing}", "a photo of a {thing}"]
            slots: {colour: [red, blue], thing: [car, bird]}

        of which each template is filled in every way, the last slot changing fastest.

    A prompt that is also a caption of training rows takes their (first) label; any other takes the class
    whose word it holds, or none. Raises UserError for a file that is missing, empty or malformed.
    """

    path: str

    def holds(self, label: int, caption: str | None) -> bool:
        """Whether the caption is one of the file's."""
        del label
        return caption in self._distinct

    def member(self, samples: Samples) -> np.ndarray:
        """The rows whose caption is in the file; all rows where none is, for then it names no subset."""
        mask = super().member(samples)
        return mask if mask.any() else np.ones(len(samples), bool)

    def conditions(self, n: int, train: Samples, spec: Spec) -> Conditions:
        """The first n prompts of the file, repeated as often as need be."""
        if n < 1:
            raise UserError(f"a set of prompts needs a positive number of samples, got {n}: raise n_samples")
        known: dict[str, int] = {}
        for label, prompts in self._seen(train).items():
            for prompt in prompts:
                known.setdefault(prompt, label)
        labels = {p: known.get(p, label_of(p, spec.classes)) for p in self._distinct}
        texts = [self.prompts[i % len(self.prompts)] for i in range(n)]
        return Conditions(np.array([labels[text] for text in texts], np.int64), Captions.of(texts))

    @cached_property
    def prompts(self) -> tuple[str, ...]:
        """The prompts, in the file's order."""
        path = Path(self.path).expanduser()
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"the prompts of {self.path} cannot be read ({error}): mend the path") from error
        if path.suffix in (".yaml", ".yml"):
            found = _filled(text, self.path)
        else:
            lines = [line.strip() for line in text.splitlines()]
            found = [line for line in lines if line and not line.startswith("#")]
        if not found:
            raise UserError(f"{self.path} should hold a prompt a line, and holds none: write some")
        return tuple(found)

    @cached_property
    def _distinct(self) -> frozenset[str]:
        return frozenset(self.prompts)


def _filled(text: str, path: str) -> list[str]:
    import yaml

    shape = 'templates: ["a {colour} car"] and slots: {colour: [red, blue]}'
    try:
        body = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not yaml ({error}): write {shape}") from error
    if not isinstance(body, dict) or not set(body) <= {"templates", "slots"} or not _lists(body):
        raise UserError(f"{path} should hold lists of texts, {shape}, it holds {str(body)[:200]}")
    slots: dict[str, list[str]] = body.get("slots", {})
    prompts = []
    for template in body["templates"]:
        names = list(dict.fromkeys(SLOT.findall(template)))
        for name in names:
            if name not in slots:
                raise UserError(f"{path} has a slot {{{name}}} without words: {did_you_mean(name, slots)}")
        for words in product(*(slots[name] for name in names)):
            chosen = dict(zip(names, words, strict=True))
            prompts.append("".join(str(chosen[p]) if i % 2 else p for i, p in enumerate(SLOT.split(template))))
    return prompts


def _lists(body: dict[str, Any]) -> bool:
    templates, slots = body.get("templates"), body.get("slots", {})
    texts = isinstance(templates, list) and all(isinstance(t, str) for t in templates)
    return texts and isinstance(slots, dict) and all(isinstance(words, list) and words for words in slots.values())
