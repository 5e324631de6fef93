"""A plot: drawn once, shown in the colours of the page, and offered as SVG and PDF with its title and legend."""

from __future__ import annotations

import io
import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from collapse_lab.report.font import NAME
from collapse_lab.report.readings import Spot, readings, readings_of_spots
from collapse_lab.report.style import MARKERS, MUTED, marker, styled, themed
from collapse_lab.results.names import Name
from collapse_lab.results.series import Series

WIDTH, HEIGHT = 4.3, 2.3  # of the part that the page shows, in inches; a column of a paper is 3.3 to 4.5 wide
TITLE = 0.5  # the height of the title above that part, in inches
MARGINS = (0.62, 0.45, 0.14, 0.12)  # left, bottom, right, top in inches; the same everywhere, so that axes line up


@dataclass(frozen=True)
class Caption:
    """Hold the caption of a plot.

    Attributes:
        title: What the plot shows, e.g. "Recall".
        where: The prompt set, e.g. "unseen prompts"; "" for all prompts.
        note: A second line, e.g. "classifier features · higher is better".
        summary: A third line, which the page alone shows: what the class of an own metric says of itself.
    """

    title: str
    where: str = ""
    note: str = ""
    summary: str = ""

    @classmethod
    def of(cls, name: Name) -> Caption:
        """Return the caption of a metric; that of an own metric has the first line of its class's docstring."""
        better = name.better and f"{name.better} is better"
        return cls(name.title, name.where, " · ".join(filter(None, (name.space, better))), name.summary)

    @property
    def line(self) -> str:
        """Return title and prompt set as one line."""
        return ", ".join(filter(None, (self.title, self.where)))


@dataclass(frozen=True)
class Legend:
    """Hold the legend of a section.

    Attributes:
        title: The title above the lines.
        labels: The label of each line.
        inks: The colours (on light, on dark) of each line, as "#rrggbb".
    """

    title: str = ""
    labels: Sequence[str] = ()
    inks: Sequence[tuple[str, str]] = ()

    @property
    def entries(self) -> list[tuple[str, int, str]]:
        """Return (ink on light without its #, rank of the marker's shape, label) of each line; empty for one line."""
        if len(self.labels) < 2:
            return []
        return [
            (ink[1:], MARKERS.index(marker(i)), label)
            for i, (label, (ink, _)) in enumerate(zip(self.labels, self.inks, strict=True))
        ]


@dataclass(frozen=True)
class Plot:
    """Hold one plot in all its forms.

    Attributes:
        caption: The caption.
        stem: The name of its files, without an ending.
        row: Plots of the same row stand side by side in the page.
        inline: An <svg> element for the page, without title and legend, because the page writes these itself.
        svg: The SVG file with title and legend, in the colours for white paper.
        figure: The figure that the PDF file is made of.
        readings: What the page shows of each line's points where a reader points at them, as JSON; "" for none.
    """

    caption: Caption
    stem: str
    row: str
    inline: str
    svg: str = field(repr=False)
    figure: Figure = field(repr=False)
    readings: str = ""

    @cached_property
    def pdf(self) -> bytes:
        """Return the same as a PDF file, its text set in embedded TrueType.

        It is made when it is first asked for, because it takes as long as all the rest of the plot.
        """
        pdf = io.BytesIO()
        with styled():
            self.figure.savefig(pdf, format="pdf", metadata={"CreationDate": None, "Creator": "collapse_lab"})
        return pdf.getvalue()

    @property
    def pdf_uri(self) -> str:
        """Return the PDF file as a data: URI."""
        return "data:application/pdf;base64," + b64encode(self.pdf).decode()


def plot(
    draw: Callable[[Axes], object],
    caption: Caption,
    stem: str,
    row: str = "",
    legend: Legend | None = None,
    height: float = HEIGHT,
    lines: Sequence[Series] = (),
    spots: Sequence[Spot] = (),
) -> Plot:
    """Draw a plot, with the caption above and the legend at the right in its files.

    Args:
        draw: Draws on the axes that it is given.
        caption: The caption.
        stem: The name of the files, without an ending.
        row: Plots of the same row stand side by side in the page.
        legend: The legend; None for none.
        height: The height of the part that the page shows, in inches.
        lines: The lines among what is drawn whose points a reader can point at.
        spots: In a plot without lines, the points that a reader can point at.

    Returns:
        The plot as an element of the page, as SVG and as PDF.
    """
    legend = legend or Legend()
    longest = max(map(len, (legend.title, *legend.labels)), default=0)
    legend_width = 0.62 + 0.075 * longest if legend.entries else 0.0
    with styled():
        figure = Figure(figsize=(WIDTH + legend_width, height + TITLE))
        ax = figure.add_axes(inches(figure, MARGINS[0], MARGINS[1], WIDTH - MARGINS[2], height - MARGINS[3]))
        draw(ax)
        _caption(figure, caption)
        if legend.entries:
            _legend(figure, legend, height)
        svg = io.StringIO()
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Creator": "collapse_lab"})
    shown = (0.0, 72 * TITLE, 72 * WIDTH, 72 * height)
    inline = themed(svg.getvalue(), caption.line, shown)
    # Because our font exists in this process alone, name fonts in the file that readers have.
    svg_file = svg.getvalue().replace(f"'{NAME}'", "'DejaVu Sans', Arial, sans-serif")
    read = readings(ax, lines) if lines else readings_of_spots(ax, spots) if spots else ""
    return Plot(caption, stem, row, inline, svg_file, figure, read)


def inches(figure: Figure, left: float, bottom: float, right: float, top: float) -> tuple[float, float, float, float]:
    """Return the place of axes as matplotlib takes it.

    Args:
        figure: The figure.
        left: The left edge, in inches from the left edge of the figure.
        bottom: The bottom edge, in inches from the bottom edge of the figure.
        right: The right edge, in inches from the left edge of the figure.
        top: The top edge, in inches from the bottom edge of the figure.

    Returns:
        (left, bottom, width, height) as shares of the figure.
    """
    width, height = figure.get_size_inches()
    return (left / width, bottom / height, (right - left) / width, (top - bottom) / height)


def stem(*parts: str) -> str:
    """Return a file name that is safe on every system: the parts in lower case, joined by hyphens."""
    return re.sub(r"[^A-Za-z0-9]+", "-", "-".join(parts)).strip("-").lower()


def _caption(figure: Figure, caption: Caption) -> None:
    height = figure.get_size_inches()[1]
    left = 0.1 / figure.get_size_inches()[0]
    figure.text(left, 1 - 0.22 / height, caption.line, fontsize=10, va="baseline")
    figure.text(left, 1 - 0.4 / height, caption.note, fontsize=8, va="baseline", alpha=0.7)


def _legend(figure: Figure, legend: Legend, height: float) -> None:
    """Draw the legend line by line, because matplotlib's own legend takes longer than the rest of the plot."""
    width, full_height = figure.get_size_inches()
    top = height - 0.2
    figure.text((WIDTH + 0.08) / width, top / full_height, legend.title, fontsize=8, va="center", color=MUTED)
    for i, (label, (ink, _)) in enumerate(zip(legend.labels, legend.inks, strict=True), start=1):
        y = (top - 0.17 * i) / full_height
        x = [(WIDTH + at) / width for at in (0.08, 0.24, 0.4)]
        figure.add_artist(Line2D(x, [y] * 3, color=ink, marker=marker(i - 1), markevery=[1], markeredgewidth=0))
        figure.text((WIDTH + 0.5) / width, y, label, fontsize=8, va="center")
