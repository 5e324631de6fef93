"""Fields of a table: the text that a reader sees and the value that the table sorts by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from collapse_lab.report.summary import number
from collapse_lab.results.names import Name
from collapse_lab.results.settings import shown
from collapse_lab.types import Estimate


@dataclass(frozen=True)
class Field:
    """Hold one field of a table.

    Attributes:
        text: The text that is shown.
        value: The value that the table sorts by; NaN sorts last.
        numeric: Whether the field is set flush right, as numbers are.
    """

    text: str
    value: float | str
    numeric: bool = True

    @property
    def sorts_by(self) -> str:
        """Return the value as text where the shown text differs from it; otherwise ""."""
        if isinstance(self.value, str):
            return "" if self.value == self.text else self.value
        if math.isnan(self.value):
            return ""
        # A browser spells it "Infinity", so that "never" sorts after every number.
        value = f"{self.value:.6g}".replace("inf", "Infinity")
        return "" if value == self.text else value


def text_field(text: object) -> Field:
    """Return a field of text, which sorts by the alphabet."""
    return Field(str(text), str(text), numeric=False)


def number_field(value: float | None) -> Field:
    """Return a field of a number with three digits; "–" for None and for NaN."""
    if value is None or math.isnan(value):
        return Field("–", math.nan)
    return Field(number(value), value)


def interval_field(estimate: Estimate | None) -> Field:
    """Return a field of an interval, e.g. "0.1 to 0.3", which sorts by its lower end; "–" where it is not known."""
    if estimate is None or estimate.lo is None or estimate.hi is None:
        return number_field(None)
    return Field(f"{number(estimate.lo)} to {number(estimate.hi)}", estimate.lo)


def knob_fields(knobs: Mapping[str, Any]) -> list[Field]:
    """Return one field for the value of each knob."""
    return [Field(shown(value), value if isinstance(value, int | float) else str(value)) for value in knobs.values()]


def metric_field(name: Name) -> Field:
    """Return a field of a metric with its prompts and its features, e.g. "FID seen prompts classifier"."""
    return text_field(" ".join(filter(None, (name.short, name.where, name.features))))
