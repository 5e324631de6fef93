"""A section of the page. To add one, write a function that returns it and add the function to `page.SECTIONS`."""

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
    """Hold a section of the page.

    Attributes:
        title: The title, as plain text.
        template: The name of the template that makes the body.
        context: What the template is rendered with.
        note: A note below the title, as plain text; "" for none.
        folded: Whether the page shows the title alone until a reader opens it.
        plots: The plots of the section.
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
        """Return a section of plots under one legend, with at least two columns.

        Args:
            title: The title.
            plots: The plots.
            note: A note below the title; "" for none.
            legend: The legend of all plots; None for none.
            columns: The number of plots side by side. A single column becomes two, and rows are then not kept apart.
            folded: Whether the page shows the title alone until a reader opens it.

        Returns:
            The section.
        """
        legend = legend or Legend()
        context = {
            "plots": plots,
            "legend": legend.entries,
            "legend_title": legend.title,
            "columns": max(columns, 2),
            "rows": columns > 1,
            # Because PDF files take half of the time and room of a page, the plots that few readers open have none
            "pdf": not folded,
        }
        return cls(title, "panels.html.j2", context, note, folded, plots)

    @property
    def body(self) -> Markup:
        """Return what stands below the note, as HTML."""
        return Markup(environment().get_template(self.template).render(self.context, title=self.title))


@cache
def environment() -> Environment:
    """Return the environment of the templates of this package; it escapes all values that a template writes."""
    return Environment(
        loader=PackageLoader("collapse_lab.report"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
