"""A part of the page. A new part is a module that gives one, and a line in `page.SECTIONS`."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape


@dataclass(frozen=True)
class Section:
    """title and note as plain text; `template` is rendered with `context` into the body.

    folded: shown as a title that opens.
    """

    title: str
    template: str
    context: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    folded: bool = False


@cache
def environment() -> Environment:
    """The templates of this package; whatever they are given is escaped."""
    return Environment(
        loader=PackageLoader("collapse_lab.report"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
