"""The guide names every option that a reader may choose among, so that none is found in the code alone."""

from __future__ import annotations

import re

import pytest

from collapse_lab.verify.statistics import known
from tests.docs.pages import DOCS
from tests.e2e.command import ROOT

LISTED = {"metrics": "measurement", "probes": "measurement", "features": "measurement", "curation": "settings"}
LISTED |= {"sinks": "settings", "mixing": "settings", "model": "settings"}


@pytest.mark.parametrize("group", LISTED)
def test_a_page_of_the_guide_names_every_option_of_a_group(group: str) -> None:
    text = (DOCS / "guide" / f"{LISTED[group]}.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    options = [path.stem for path in (ROOT / "conf" / group).glob("*.yaml")]
    assert options
    missing = [option for option in options if not any(re.search(rf"[`=\[,]{option}[`,\]]", row) for row in rows)]
    assert not missing


def test_a_table_explains_every_statistic_that_a_claim_may_name() -> None:
    text = (DOCS / "guide" / "measurement.md").read_text()
    assert [name for name in known() if f"\n| `{name}` | " not in text] == []
