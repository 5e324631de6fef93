"""A plot: drawn once, shown in the page in the page's colours, and given away whole as SVG and PDF for a paper."""

from __future__ import annotations

import io
import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from collapse_lab.report.font import NAME
from collapse_lab.report.style import MARKERS, MUTED, marker, styled, themed
from collapse_lab.results.names import Name

WIDTH, HEIGHT = 4.3, 2.3  # of what the page shows, in inches; a column of a paper is 3.3 to 4.5 wide
TITLE = 0.5
MARGINS = (0.62, 0.45, 0.14, 0.12)  # left, bottom, right, top: the same everywhere, so axes stand in line


@dataclass(frozen=True)
class Caption:
    """What a plot shows, e.g. "Recall", "unseen prompts", "classifier features · higher is better"."""

    title: str
    where: str = ""
    note: str = ""

    @classmethod
    def of(cls, name: Name) -> Caption:
        """Of a metric."""
        better = name.better and f"{name.better} is better"
        return cls(name.plain, name.where, " · ".join(filter(None, (name.space, better))))

    @property
    def line(self) -> str:
        """Title and place in one."""
        return ", ".join(filter(None, (self.title, self.where)))


@dataclass(frozen=True)
class Legend:
    """The lines of a section: their common title, labels and inks (on light, on dark); a lone line needs none."""

    title: str = ""
    labels: Sequence[str] = ()
    inks: Sequence[tuple[str, str]] = ()

    @property
    def entries(self) -> list[tuple[str, int, str]]:
        """(ink on light without its #, rank of the marker's shape, label) of each line, for the page."""
        if len(self.labels) < 2:
            return []
        return [
            (ink[1:], MARKERS.index(marker(i)), label)
            for i, (label, (ink, _)) in enumerate(zip(self.labels, self.inks, strict=True))
        ]


@dataclass(frozen=True)
class Plot:
    """One drawing.

    stem: name of its files, without an ending.
    row: plots of a row stand side by side in the page.
    inline: an <svg> element for the page, without title and legend, which the page has of its own.
    svg: the whole, as a file of its own in the colours of paper.
    pdf: the same, its text set in embedded TrueType.
    """

    caption: Caption
    stem: str
    row: str
    inline: str
    svg: str = field(repr=False)
    pdf: bytes = field(repr=False)

    @property
    def pdf_uri(self) -> str:
        """As a link that carries the file."""
        return "data:application/pdf;base64," + b64encode(self.pdf).decode()


def plot(
    draw: Callable[[Axes], object],
    caption: Caption,
    stem: str,
    row: str = "",
    legend: Legend | None = None,
    height: float = HEIGHT,
) -> Plot:
    """Has `draw` fill a pair of axes, and adds for the paper the caption above and the legend at the right."""
    legend = legend or Legend()
    longest = max(map(len, (legend.title, *legend.labels)), default=0)
    aside = 0.62 + 0.075 * longest if legend.entries else 0.0
    with styled():
        figure = Figure(figsize=(WIDTH + aside, height + TITLE))
        ax = figure.add_axes(inches(figure, MARGINS[0], MARGINS[1], WIDTH - MARGINS[2], height - MARGINS[3]))
        draw(ax)
        _caption(figure, caption)
        if legend.entries:
            _legend(figure, legend, height)
        svg, pdf = io.StringIO(), io.BytesIO()
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Creator": "collapse_lab"})
        figure.savefig(pdf, format="pdf", metadata={"CreationDate": None, "Creator": "collapse_lab"})
    shown = (0.0, 72 * TITLE, 72 * WIDTH, 72 * height)
    inline = themed(svg.getvalue(), caption.line, shown)
    # Ours is the font of this process alone; the file names those that readers have.
    paper = svg.getvalue().replace(f"'{NAME}'", "'DejaVu Sans', Arial, sans-serif")
    return Plot(caption, stem, row, inline, paper, pdf.getvalue())


def inches(figure: Figure, left: float, bottom: float, right: float, top: float) -> tuple[float, float, float, float]:
    """A place for axes, (left, bottom, width, height) as shares of the figure, from edges in inches."""
    width, height = figure.get_size_inches()
    return (left / width, bottom / height, (right - left) / width, (top - bottom) / height)


def stem(*parts: str) -> str:
    """A file's name of letters that are safe anywhere."""
    return re.sub(r"[^A-Za-z0-9]+", "-", "-".join(parts)).strip("-").lower()


def _caption(figure: Figure, caption: Caption) -> None:
    height = figure.get_size_inches()[1]
    left = 0.1 / figure.get_size_inches()[0]
    figure.text(left, 1 - 0.22 / height, caption.line, fontsize=10, va="baseline")
    figure.text(left, 1 - 0.4 / height, caption.note, fontsize=8, va="baseline", alpha=0.7)


def _legend(figure: Figure, legend: Legend, height: float) -> None:
    """Drawn by hand: matplotlib's own legend takes longer than all the rest of a plot."""
    width, whole = figure.get_size_inches()
    top = height - 0.2
    figure.text((WIDTH + 0.08) / width, top / whole, legend.title, fontsize=8, va="center", color=MUTED)
    for i, (label, (ink, _)) in enumerate(zip(legend.labels, legend.inks, strict=True), start=1):
        y = (top - 0.17 * i) / whole
        x = [(WIDTH + at) / width for at in (0.08, 0.24, 0.4)]
        figure.add_artist(Line2D(x, [y] * 3, color=ink, marker=marker(i - 1), markevery=[1], markeredgewidth=0))
        figure.text((WIDTH + 0.5) / width, y, label, fontsize=8, va="center")
