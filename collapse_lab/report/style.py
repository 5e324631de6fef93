"""The look of figures, on paper and in the page: one drawing serves the light and the dark page."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from html import escape
from typing import Any
from zlib import crc32

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_hex

from collapse_lab.report.font import family

INK, MUTED = "#1d2329", "#6d7680"
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# The colours of Okabe and Ito, which colour-blind readers can tell apart; the dark list has the same hues, lighter.
_NAMED_LIGHT = ("#0072b2", "#d55e00", "#009e73", "#b5508c", "#b07c00", "#3a9bd4", "#7a5c3e")
_NAMED_DARK = ("#5bb0ea", "#ff9152", "#3fcfa4", "#ea9ac8", "#f0bd47", "#9ad4f7", "#c9a98a")
# A dose has an order, so the hue runs from blue to red while the contrast with the page rises. It reads in grey too.
_RAMP_LIGHT = ("#86a9d6", "#5a74c4", "#8b419f", "#a0103c")
_RAMP_DARK = ("#5d83b8", "#8f93ea", "#dc93e6", "#ffc2bd")
# The colour on a dark page for each colour on a light page that was used so far.
_ON_DARK = {INK: "#e8ebee", MUTED: "#9aa4ae"}
_ANONYMOUS = dict.fromkeys(("Creator", "Date", "Format", "Type"))

RC: Any = {
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
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "collapse_lab",
}


def palette(n: int, ordered: bool) -> list[tuple[str, str]]:
    """Choose colours for the lines of a figure.

    Args:
        n: The number of lines.
        ordered: Whether the lines have an order, so that their colours form a ramp; otherwise they have distinct hues,
            which repeat after seven.

    Returns:
        (on light, on dark) of each line, as "#rrggbb".
    """
    if ordered:
        light, dark = (LinearSegmentedColormap.from_list("dose", ramp) for ramp in (_RAMP_LIGHT, _RAMP_DARK))
        pairs = [(to_hex(light(x)), to_hex(dark(x))) for x in np.linspace(0, 1, n)]
    else:
        pairs = [(_NAMED_LIGHT[i % 7], _NAMED_DARK[i % 7]) for i in range(n)]
    _ON_DARK.update(pairs)
    return pairs


def marker(rank: int) -> str:
    """Return the marker of a line by its rank; each time the seven hues repeat, the markers are shifted by one."""
    return MARKERS[(rank + rank // len(MARKERS)) % len(MARKERS)]


def styled() -> AbstractContextManager[None]:
    """Return a context within which figures are drawn in the style of this package."""
    return mpl.rc_context(RC | {"font.family": family()})


def themed(source: str, label: str, shown: tuple[float, float, float, float]) -> str:
    """Return a figure as an <svg> element for the page.

    The colours of this module and of every `palette` become variables of the page, such as `var(--c0072b2)`. Text stays
    text, in the font of the page. Ids differ from the ids of every other figure.

    Args:
        source: The SVG that matplotlib wrote.
        label: A description of the figure for readers who cannot see it.
        shown: (left, top, width, height) in points of the part that the page shows. Title and legend lie outside it,
            because only a paper needs them. The attribute `data-paper` holds the box of the whole figure.

    Returns:
        The <svg> element as text.
    """
    svg = source[source.index("<svg") :]
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="[A-Za-z.]+_\d+"', "", svg)
    prefix = f"f{crc32(svg.encode()):x}"
    svg = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{prefix}", svg)
    # Shorten numbers within tags only, because a number in a text is a label.
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d\d)\d+", r"\1", tag[0]), svg)
    svg = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", svg)
    svg = re.sub(r" font-family: [^;\"]*;?", "", svg)
    svg = re.sub(r' transform="rotate\(-0 [^"]*"', "", svg)
    svg = re.sub(r"#([0-9a-f]{6})\b", lambda ink: f"var(--c{ink[1]})" if ink[0] in _ON_DARK else ink[0], svg)
    head, rest = svg.split(">", 1)
    view_box = re.search(r'viewBox="([^"]*)"', head)
    assert view_box is not None
    box = " ".join(f"{n:g}" for n in shown)
    namespaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="{box}" data-paper="{view_box[1]}" {namespaces}>{rest}'
    )


def used_inks(page: str) -> list[tuple[str, str]]:
    """Return (on light, on dark) of every colour whose variable occurs in the text of a page, sorted."""
    return sorted((light, dark) for light, dark in _ON_DARK.items() if f"--c{light[1:]}" in page)
