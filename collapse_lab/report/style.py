"""How figures look, on paper and inside the page: one drawing serves light and dark."""

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
# Okabe and Ito's colours, told apart by colour-blind readers; the dark list is the same hues made lighter.
_NAMED_LIGHT = ("#0072b2", "#d55e00", "#009e73", "#b5508c", "#b07c00", "#3a9bd4", "#7a5c3e")
_NAMED_DARK = ("#5bb0ea", "#ff9152", "#3fcfa4", "#ea9ac8", "#f0bd47", "#9ad4f7", "#c9a98a")
# A dose has an order: hue runs from blue to red while contrast with the page rises, so it reads in grey too.
_RAMP_LIGHT = ("#86a9d6", "#5a74c4", "#8b419f", "#a0103c")
_RAMP_DARK = ("#5d83b8", "#8f93ea", "#dc93e6", "#ffc2bd")
# Of every colour handed out for a light page, its twin for a dark one.
_TWINS = {INK: "#e8ebee", MUTED: "#9aa4ae"}
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
    """Chooses n colours as (on light, on dark); a ramp where the lines have an order, else distinct hues."""
    if ordered:
        light, dark = (LinearSegmentedColormap.from_list("dose", ramp) for ramp in (_RAMP_LIGHT, _RAMP_DARK))
        pairs = [(to_hex(light(x)), to_hex(dark(x))) for x in np.linspace(0, 1, n)]
    else:
        pairs = [(_NAMED_LIGHT[i % 7], _NAMED_DARK[i % 7]) for i in range(n)]
    _TWINS.update(pairs)
    return pairs


def marker(rank: int) -> str:
    """The marker of a line: where the seven hues begin again, the markers are shifted by one."""
    return MARKERS[(rank + rank // len(MARKERS)) % len(MARKERS)]


def styled() -> AbstractContextManager[None]:
    """Within it, what is drawn looks as figures here do."""
    return mpl.rc_context(RC | {"font.family": family()})


def themed(source: str, label: str, shown: tuple[float, float, float, float]) -> str:
    """A figure as an <svg> element whose inks, ours and those of any `palette`, are the page's: `var(--c0072b2)`.

    Text stays text, set in the page's own type. Ids are made unlike those of any other figure.

    Args:
        source: what matplotlib wrote.
        label: what the figure is, for those who do not see it.
        shown: (left, top, width, height) in points, of what the page shows. The rest (title, legend) is only for
            a paper; `data-paper` says how large the whole is.
    """
    svg = source[source.index("<svg") :]
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="[A-Za-z.]+_\d+"', "", svg)
    mark = f"f{crc32(svg.encode()):x}"
    svg = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{mark}", svg)
    # Within tags alone: a number that is text is a label.
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d\d)\d+", r"\1", tag[0]), svg)
    svg = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", svg)
    svg = re.sub(r" font-family: [^;\"]*;?", "", svg)
    svg = re.sub(r' transform="rotate\(-0 [^"]*"', "", svg)
    svg = re.sub(r"#([0-9a-f]{6})\b", lambda found: f"var(--c{found[1]})" if found[0] in _TWINS else found[0], svg)
    head, rest = svg.split(">", 1)
    whole = re.search(r'viewBox="([^"]*)"', head)
    assert whole is not None
    box = " ".join(f"{n:g}" for n in shown)
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg role="img" aria-label="{escape(label)}" viewBox="{box}" data-paper="{whole[1]}" {names}>{rest}'


def twins(page: str) -> list[tuple[str, str]]:
    """(on light, on dark) of every ink that a page of figures refers to, sorted."""
    return sorted((light, dark) for light, dark in _TWINS.items() if f"--c{light[1:]}" in page)
