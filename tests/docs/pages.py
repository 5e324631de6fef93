"""Read the pages of the documentation: their blocks of code, in order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.command import ROOT

DOCS = ROOT / "docs"
RECIPES = sorted(path.stem for path in (DOCS / "recipes").glob("*.md") if path.stem != "index")
# A fence, what stands behind it, the code; and a comment right above it that says why the block is not run
BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?```(?P<kind>\w+)(?P<more>[^\n]*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """Hold one block of code.

    Attributes:
        kind: the language that stands behind the fence.
        file: the file that the block is, or "".
        reason: why the block is not run, or "".
    """

    kind: str
    code: str
    file: str
    reason: str


def blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of code of a page."""
    for match in BLOCK.finditer(page.read_text()):
        title = re.search(r'title="([^"]+)"', match["more"])
        yield Block(match["kind"], match["code"], title[1] if title else "", match["reason"] or "")
