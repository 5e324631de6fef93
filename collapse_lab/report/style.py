"""How figures look, on paper and inside the page: one drawing serves light and dark."""

from __future__ import annotations

import io
import re
from contextlib import AbstractContextManager
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure

INK, MUTED = "#1d2329", "#6d7680"
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# Okabe and Ito's colours, told apart by colour-blind readers; the dark list is the same hues made lighter.
_NAMED_LIGHT = ("#0072b2", "#d55e00", "#009e73", "#b5508c", "#b07c00", "#3a9bd4", "#7a5c3e")
_NAMED_DARK = ("#5bb0ea", "#ff9152", "#3fcfa4", "#ea9ac8", "#f0bd47", "#9ad4f7", "#c9a98a")
# A dose has an order: hue runs from blue to red while contrast with the page rises, so it reads in grey too.
_RAMP_LIGHT = ("#86a9d6", "#5a74c4", "#8b419f", "#a0103c")
_RAMP_DARK = ("#5d83b8", "#8f93ea", "#dc93e6", "#ffc2bd")

RC: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.titlesize": 10,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "grid.color": MUTED,
    "grid.alpha": 0.22,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.7,
    "lines.markersize": 4.2,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "svg.fonttype": "none",
    "svg.hashsalt": "collapse_lab",
}


def palette(n: int, ordered: bool) -> list[tuple[str, str]]:
    """Chooses n colours as (on light, on dark); a ramp where the lines have an order, else distinct hues."""
    if not ordered:
        return [(_NAMED_LIGHT[i % 7], _NAMED_DARK[i % 7]) for i in range(n)]
    light, dark = (LinearSegmentedColormap.from_list("dose", ramp) for ramp in (_RAMP_LIGHT, _RAMP_DARK))
    at = [i / max(n - 1, 1) for i in range(n)]
    return [(to_hex(light(x)), to_hex(dark(x))) for x in at]


def marker(rank: int) -> str:
    """The marker of a line: where the seven hues begin again, the markers are shifted by one."""
    return MARKERS[(rank + rank // len(MARKERS)) % len(MARKERS)]


def styled() -> AbstractContextManager[None]:
    """Within it, what is drawn looks as figures here do."""
    return mpl.rc_context(RC)


def panel(width: float = 4.3, height: float = 2.3) -> tuple[Figure, Axes]:
    """An empty figure of one pair of axes, in inches."""
    with styled():
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.add_subplot()


def inline(figure: Figure, label: str, colours: list[tuple[str, str]], prefix: str = "s") -> str:
    """The figure as an <svg> element whose inks are the page's: `currentColor`, --muted, --s0 and on.

    Text stays text, set in the page's own type. Ids that nothing refers to are left out: they would repeat.
    """
    buffer = io.StringIO()
    with styled():
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")),
        )
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="[A-Za-z.]+_\d+"', "", svg)
    svg = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font: \1 var(--sans)", svg)
    inks = {INK: "currentColor", MUTED: "var(--muted)"} | {c: f"var(--{prefix}{i})" for i, (c, _) in enumerate(colours)}
    svg = re.sub(r"#[0-9a-f]{6}", lambda found: inks.get(found[0], found[0]), svg)
    svg = re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1)
