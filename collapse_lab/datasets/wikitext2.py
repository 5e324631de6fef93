"""WikiText-2, a text data set of Wikipedia articles."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from collapse_lab.datasets.hub_text import HubText

TITLE = re.compile(r" = [^=].* = \n?$")


@dataclass(kw_only=True, eq=False)
class WikiText2(HubText):
    """Read 600 good and featured articles of Wikipedia for training and 60 for testing; a document is an article.

    They have 2 million and 0.24 million words. The authors are Merity et al. (arXiv:1609.07843); the licence is
    CC BY-SA 3.0. The data come from the hub or from a folder that `save_to_disk` wrote, and need the extra `hub`. Rows
    are lines, and an article begins at its title, ` = Title = `. The arguments are those of `HubText`.
    """

    name: str = "Salesforce/wikitext"
    revision: str | None = "b08601e04326c79dfdd32d625aee71d232d685c3"
    subset: str | None = "wikitext-2-raw-v1"
    reference_split: str | None = "test"
    reference_fraction: float | None = None

    def read(self, rows: Sequence[str]) -> Sequence[str]:
        """Return the articles, each as its rows joined to one text."""
        articles: list[list[str]] = []
        for i, row in enumerate(rows):
            # A line of the text may look like a title, but only a title has blank lines around it
            blank = all(not line.strip() for line in (*rows[max(i - 1, 0) : i], *rows[i + 1 : i + 2]))
            if not articles or (TITLE.match(row) and blank):
                articles.append([])
            articles[-1].append(row)
        return ["".join(article) for article in articles]
