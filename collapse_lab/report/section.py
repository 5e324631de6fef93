"""A part of the page. A new part is a module that gives one, and a line in `page.SECTIONS`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from collapse_lab.report.plot import Legend, Plot


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
    plots: Sequence[Plot] = ()

    @classmethod
    def of_plots(
        cls,
        title: str,
        plots: Sequence[Plot],
        note: str = "",
        legend: Legend | None = None,
        columns: int = 2,
        folded: bool = False,
    ) -> Section:
        """Plots under one legend, at least two beside each other."""
        legend = legend or Legend()
        context = {
            "plots": plots,
            "legend": legend.entries,
            "legend_title": legend.title,
            "columns": max(columns, 2),
            "rows": columns > 1,
        }
        return cls(title, "panels.html.j2", context, note, folded, plots)

    @property
    def body(self) -> Markup:
        """What stands below the title, as HTML."""
        return Markup(environment().get_template(self.template).render(self.context, title=self.title))


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
