"""The font of every figure: DejaVu Sans cut down to the characters of figures, so that a PDF embeds it quickly."""

from __future__ import annotations

import hashlib
import logging
from functools import cache
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
from matplotlib import font_manager

from collapse_lab.storage.files import write_whole

# fontTools logs every table that it leaves out, so show its errors only.
logging.getLogger("fontTools").setLevel(logging.ERROR)

NAME = "Collapse Lab Sans"  # the licence of the font asks for another name once the font is changed
# Latin with its accents, Greek, Cyrillic, punctuation, superscripts, arrows, and the signs of formulas
_CHARACTERS = [*range(0x20, 0x250), *range(0x370, 0x500), *range(0x2010, 0x2040), *range(0x2070, 0x2090)]
_CHARACTERS += [0x2190, 0x2191, 0x2192, 0x2193, 0x2212, 0x221E, 0x2248, 0x2260, 0x2264, 0x2265]
_NAMED = (1, 4, 6, 16)  # family, full, PostScript and typographic family name in a font's table of names


@cache
def family() -> str:
    """Make the font known to matplotlib, once in a process.

    A PDF fit for a paper embeds TrueType, because publishers refuse Type 3. Cutting the whole font down for each figure
    takes four times as long as drawing it. The cut font lies in matplotlib's own cache, for all later processes.

    Returns:
        The name of the font family.
    """
    made = hashlib.sha256(repr((mpl.__version__, NAME, _CHARACTERS)).encode()).hexdigest()[:12]
    path = Path(mpl.get_cachedir()) / f"collapse_lab_sans_{made}.ttf"
    if not path.exists():
        _cut(path)
    font_manager.fontManager.addfont(path)
    return NAME


def _cut(path: Path) -> None:
    """Write the font with the characters of figures alone."""
    from fontTools import subset  # type: ignore[import-untyped]  # here because few processes cut the font

    options = subset.Options(drop_tables=["GSUB", "GPOS", "GDEF", "FFTM"], layout_features=[], name_IDs=["*"])
    font = subset.load_font(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=_CHARACTERS)
    subsetter.subset(font)
    for record in font["name"].names:
        if record.nameID in _NAMED:
            record.string = NAME if record.nameID != 6 else NAME.replace(" ", "")
    content = BytesIO()
    font.save(content)
    write_whole(path, content.getvalue())
