"""Pointing at lines in a browser: values, legends that isolate, and table rows that pick out their line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from playwright.sync_api import Browser

from collapse_lab.report import write_report
from collapse_lab.report.curves import legend_of
from collapse_lab.report.page import compose
from collapse_lab.report.readings import readings
from collapse_lab.results.collect import collect
from collapse_lab.results.series import Series, over_generations, ranks
from tests.browser import browsed
from tests.browser import browser as browser
from tests.report.run_folders import write_run
from tests.report.test_browser import visit

FID = "seen/classifier/fid"


@pytest.fixture(scope="module")
def sixty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 60 cells: twenty configurations, of which twelve have a line."""
    root = tmp_path_factory.mktemp("sixty")
    for ratio in (0, 0.1, 0.3, 0.5, 1):
        for scale in (1, 2, 4, 8):
            for seed in range(3):
                folder = root / f"r{ratio}-w{scale}-s{seed}"
                write_run(folder, ratio, seed, 2, grids=False, model={"guidance_scale": scale})
    return write_report([root], root / "report.html")


def test_a_reading_has_the_value_its_interval_and_its_seeds_at_its_place() -> None:
    from matplotlib.figure import Figure

    ax = Figure(figsize=(4, 2)).add_axes((0.25, 0.5, 0.5, 0.5))
    ax.set_xlim(0, 2)
    ax.set_ylim(0, 10)
    x, mean = np.asarray([0, 1, 2]), np.asarray([10.0, 5.0, np.nan])
    lo, hi = np.asarray([9.0, np.nan, np.nan]), np.asarray([11.0, np.nan, np.nan])
    seeds = ((0, 1), tuple(range(9)), (0,))
    (read,) = json.loads(readings(ax, [Series("ratio 1", 3, x, mean, lo, hi, seeds=seeds)]))
    assert (read["line"], read["label"]) == (3, "ratio 1")
    assert read["points"] == [
        [72, 0, "0: 10 (9 to 11), 2 seeds: 0, 1"],
        [144, 36, "1: 5, 9 seeds: 0, 1, 2, 3, 4, 5, …"],
    ]


def test_a_long_chain_has_a_bounded_number_of_readings() -> None:
    from matplotlib.figure import Figure

    n = np.arange(5000.0)
    lines = [Series("", 0, n, n, n, n, seeds=((None,),) * 5000)]
    (read,) = json.loads(readings(Figure().add_subplot(), lines))
    assert len(read["points"]) == 60
    assert (read["points"][0][2], read["points"][-1][2]) == ("0: 0 (0 to 0)", "4999: 4,999 (4,999 to 4,999)")


def test_every_line_of_a_page_of_60_cells_is_in_its_drawing_and_the_page_is_small(sixty: Path) -> None:
    collection = collect([sixty.parent])
    assert len(collection.runs) == 60
    assert sixty.stat().st_size < 3e6
    assert [rank for rank in ranks(collection) if rank is not None] == list(range(12))
    (section, *_) = compose(collection)[0].sections
    for drawn in section.plots:
        read = json.loads(drawn.readings)
        assert [line["line"] for line in read] == list(range(12))
        for part in ("line", "band"):
            assert [len(re.findall(f'id="[0-9a-f]*f?[0-9a-f]+{part}-of-{n}"', drawn.inline)) for n in range(12)] == [
                1
            ] * 12
    series = over_generations(collection, FID)[0]
    assert series.seeds == ((0, 1, 2),) * 3
    assert len(legend_of(collection).labels) == 12


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")], ids=str)
def page(
    request: pytest.FixtureRequest,
    browser: Browser,
    sixty: Path,
) -> Iterator[object]:
    width, scheme = request.param
    chosen: Literal["light", "dark"] = scheme
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=chosen)
    opened = visit(context, sixty)
    yield opened.page
    context.close()
    assert opened.complaints == []


# The lines of each figure that are not faint
CLEAR = """() => [...document.querySelectorAll("figure[data-readings]")].map((figure) =>
    JSON.parse(figure.dataset.readings).filter((line) =>
        getComputedStyle(figure.querySelector(`[id$="line-of-${line.line}"]`)).opacity === "1"
    ).map((line) => line.line))"""


@browsed
def test_a_pointer_reads_a_line_a_legend_isolates_it_and_a_row_picks_it_out(page) -> None:  # type: ignore[no-untyped-def]
    figure = page.locator("figure[data-readings]").first
    line = json.loads(figure.get_attribute("data-readings"))[0]  # the first of those that coincide is read
    figure.scroll_into_view_if_needed()
    x, y, text = line["points"][-1]
    svg = figure.locator("svg")
    box = svg.bounding_box()
    view = [float(n) for n in svg.get_attribute("viewBox").split()]
    scale = box["width"] / view[2]
    page.mouse.move(box["x"] + scale * (x - view[0]) + 1, box["y"] + scale * (y - view[1]) - 1)
    tip = page.locator(".tip")
    assert tip.inner_text() == f"{line['label']}\ngeneration {text}"
    shown = tip.bounding_box()
    assert shown["x"] >= 0
    assert shown["x"] + shown["width"] <= page.viewport_size["width"]
    lit = page.locator("tr.lit")
    assert lit.count() == 3
    assert set(lit.evaluate_all("(rows) => rows.map((row) => row.dataset.line)")) == {str(line["line"])}
    page.mouse.move(1, 1)
    assert tip.is_hidden()
    assert lit.count() == 0

    everyone = page.evaluate(CLEAR)
    assert len(everyone) > 2
    assert all(lines == list(range(12)) for lines in everyone)
    entry = page.locator(".legend[data-lines]").first.get_by_role("button").nth(4)
    entry.click()
    assert entry.get_attribute("aria-pressed") == "true"
    assert all(lines == [4] for lines in page.evaluate(CLEAR))
    row = page.locator("tr[data-line='7']").first
    row.hover()
    assert all(lines == [7] for lines in page.evaluate(CLEAR))
    page.mouse.move(1, 1)
    assert all(lines == [4] for lines in page.evaluate(CLEAR))
    entry.focus()
    page.keyboard.press("Enter")
    assert entry.get_attribute("aria-pressed") == "false"
    assert page.evaluate(CLEAR) == everyone
