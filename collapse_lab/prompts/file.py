"""Prompt set that the user wrote into a file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from collapse_lab.errors import UserError
from collapse_lab.prompts.filling import SLOT, filled
from collapse_lab.prompts.listed import Listed, each_once

EXAMPLE = 'templates: ["a {colour} car"] and slots: {colour: [red, blue]}'


@dataclass(frozen=True)
class File(Listed):
    """Give the prompts of a file in its order, and start again when they run out.

    A yaml file looks like this. Each template is filled with every combination of words; the last slot changes fastest:

        templates: ["a {colour} {thing}", "a photo of a {thing}"]
        slots: {colour: [red, blue], thing: [car, bird]}

    Args:
        path: a text file with one prompt per line, where blank lines and lines that begin with # are skipped; or a
            yaml file with `templates`, sentences with slots in braces, and `slots`, the words of each slot.

    Raises:
        UserError: when the prompts are read and the file is missing, no text, empty or malformed, or gives a prompt
            twice.
    """

    path: str

    @cached_property
    def prompts(self) -> tuple[str, ...]:
        """Return the prompts, in the order of the file."""
        path = Path(self.path).expanduser()
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(f"{self.path} should be text in UTF-8, and is not ({error}): save it as such") from error
        except OSError as error:
            raise UserError(f"the prompts of {self.path} cannot be read ({error}): correct the path") from error
        if "\0" in text:
            raise UserError(f"{self.path} should be text in UTF-8, and holds zero bytes: save it as such")
        of_yaml = path.suffix.lower() in (".yaml", ".yml")
        prompts = _of_yaml(text, self.path) if of_yaml else _of_lines(text, self.path)
        return each_once(prompts, self.path)


def _of_lines(text: str, path: str) -> tuple[str, ...]:
    lines = [line.strip() for line in text.splitlines()]
    prompts = tuple(line for line in lines if line and not line.startswith("#"))
    if not prompts:
        raise UserError(f"{path} should hold one prompt per line, and holds none: write some")
    for prompt in prompts:
        if SLOT.search(prompt):
            raise UserError(
                f"{path} has a slot without words in '{prompt}': write a file that ends in .yaml, with {EXAMPLE}"
            )
    return prompts


def _of_yaml(text: str, path: str) -> tuple[str, ...]:
    import yaml

    try:
        body = yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is not yaml ({reason}): write {EXAMPLE}") from error
    if not isinstance(body, dict) or not set(body) <= {"templates", "slots"} or not _has_lists(body):
        raise UserError(f"{path} should hold lists of texts, {EXAMPLE}, it holds {str(body)[:200]}")
    slots = {str(name): [str(word) for word in words] for name, words in (body.get("slots") or {}).items()}
    return filled(body["templates"], slots, path)


def _has_lists(body: dict[str, Any]) -> bool:
    templates, slots = body.get("templates"), body.get("slots") or {}
    has_templates = isinstance(templates, list) and all(isinstance(template, str) for template in templates)
    return has_templates and isinstance(slots, dict) and all(map(_is_list_of_words, slots.values()))


def _is_list_of_words(words: Any) -> bool:
    # A word such as `no` is False in yaml, and has to be quoted
    return isinstance(words, list) and all(isinstance(word, str | int) and not isinstance(word, bool) for word in words)
