"""The page in a browser: it loads nothing and logs nothing, and its tables and downloads work."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Browser, BrowserContext, Download, Locator, Page

from collapse_lab.report import write_report
from collapse_lab.report.plot import TITLE
from collapse_lab.results.collect import collect
from tests.browser import browsed
from tests.browser import browser as browser
from tests.report.run_folders import write_plane, write_run

pytestmark = browsed


@dataclass
class Visit:
    """Hold an open page, and everything that it logged or loaded, which should be nothing."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def column(self, title: str) -> list[str]:
        """Return the texts of a column of the table of runs, of the rows that are shown."""
        return self.page.evaluate(  # type: ignore[no-any-return]
            """(title) => {
                const table = document.querySelector("[aria-label=Runs] table");
                const at = [...table.tHead.rows[0].cells].findIndex((th) => th.textContent.trim() === title);
                const shown = [...table.tBodies[0].rows].filter((row) => row.offsetParent !== null);
                return shown.map((row) => row.cells[at].textContent);
            }""",
            title,
        )

    def heading(self, title: str) -> Locator:
        """Return a heading of the table of runs."""
        return self.page.get_by_label("Runs").get_by_role("columnheader", name=title)

    def filter(self, query: str) -> str:
        """Filter the runs, and return what the page says about their number."""
        bar = self.page.locator("section").filter(has=self.page.get_by_label("Runs")).locator(".filter")
        bar.get_by_label("Filter").fill(query)
        return bar.locator("output").inner_text()


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_plane(tmp_path_factory.mktemp("runs") / "nepotistic")
    write_run(root / "diverged", 0.5, 0, 2, grids=True, status="diverged", model={"guidance_scale": 1})
    return write_report([root], root / "report.html")


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("groups")
    for name, weights in (("nepotistic", "1f2e3d"), ("fresh", "9a8b7c")):
        write_run(root / name, generations=2, grids=False, name=name, weights=weights)
    return write_report([root], root / "report.html")


def visit(context: BrowserContext, file: Path) -> Visit:
    page = context.new_page()
    opened = Visit(page)
    page.on("console", lambda message: opened.complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: opened.complaints.append(f"error: {error}"))
    page.on(
        "request", lambda r: None if r.url.startswith(("data:", file.as_uri())) else opened.complaints.append(r.url)
    )
    page.goto(file.as_uri())
    return opened


@pytest.fixture
def desktop(browser: Browser, sweep: Path) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    opened = visit(context, sweep)
    yield opened
    context.close()
    assert opened.complaints == []


def saved(download: Download, folder: Path) -> Path:
    path = folder / download.suggested_filename
    download.save_as(path)
    return path


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["sweep", "groups"])
def test_the_page_fits_any_screen_and_loads_nothing(
    browser: Browser, sweep: Path, groups: Path, which: str, scheme: Literal["light", "dark"], width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened = visit(context, {"sweep": sweep, "groups": groups}[which])
    page = opened.page
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    narrow = page.evaluate("Math.min(...[...document.querySelectorAll('.panels svg')].map((s) => s.clientWidth))")
    assert narrow > 0.3 * width
    colours = page.evaluate(
        """() => [getComputedStyle(document.body).backgroundColor,
                  getComputedStyle(document.querySelector('.panels svg text')).fill,
                  getComputedStyle(document.querySelector('h1')).color]
                 .map((c) => c.match(/\\d+/g).slice(0, 3).reduce((sum, n) => sum + Number(n), 0) / 3)"""
    )
    background, *inks = colours
    assert (background > 128) == (scheme == "light")
    assert all(abs(ink - background) > 90 for ink in inks)
    context.close()
    assert opened.complaints == []


def test_every_colour_of_every_figure_is_defined(desktop: Visit) -> None:
    missing = desktop.page.evaluate(
        """() => {
            const root = getComputedStyle(document.documentElement);
            const used = new Set(document.querySelector("main").innerHTML.match(/--c[0-9a-f]{6}/g));
            return [used.size, [...used].filter((name) => root.getPropertyValue(name) === "")];
        }"""
    )
    assert missing[0] > 4
    assert missing[1] == []


def test_a_heading_sorts_the_table_by_click_and_by_key(desktop: Visit) -> None:
    heading = desktop.heading("FID seen")
    before = desktop.column("FID seen")
    assert heading.get_attribute("aria-sort") is None
    heading.get_by_role("button").click()
    ascending = desktop.column("FID seen")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert ascending == sorted(before, key=float) != before
    heading.get_by_role("button").focus()
    desktop.page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "descending"
    assert [float(v) for v in desktop.column("FID seen")] == sorted(map(float, before), reverse=True)
    desktop.heading("status").get_by_role("button").click()
    assert heading.get_attribute("aria-sort") is None
    assert desktop.column("status") == sorted(desktop.column("status"))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", 13),
        ("ratio>0.1", 5),
        ("ratio >= 0.1, guidance<4", 5),
        ("diverged", 1),
        ("status=complete, ratio=1, seed=0", 2),
        ("ratio!=0", 9),
        ("nothing like it", 0),
        ("unheard>1", 0),
        (",", 13),
    ],
)
def test_a_filter_keeps_the_rows_that_match(desktop: Visit, query: str, expected: int) -> None:
    assert desktop.filter(query) == f"{expected} of 13 rows"
    assert len(desktop.column("ratio")) == expected


def test_a_filtered_table_can_be_sorted(desktop: Visit) -> None:
    desktop.filter("ratio=1")
    desktop.heading("FID seen").get_by_role("button").click()
    shown = [float(v) for v in desktop.column("FID seen")]
    assert len(shown) == 4
    assert shown == sorted(shown)


def test_the_svg_file_has_title_and_legend_in_the_colours_for_white_paper(
    browser: Browser, sweep: Path, tmp_path: Path
) -> None:
    context = browser.new_context(color_scheme="dark", accept_downloads=True)
    opened = visit(context, sweep)
    with opened.page.expect_download() as waiting:
        opened.page.get_by_role("button", name="Fréchet distance (FID), seen prompts as SVG").first.click()
    path = saved(waiting.value, tmp_path)
    context.close()
    assert opened.complaints == []
    assert path.name == "curve-seen-classifier-fid.svg"
    text = path.read_text()
    root = ElementTree.fromstring(text)
    assert "var(" not in text
    assert "currentColor" not in text
    assert "#1d2329" in text  # the ink of a light page
    written = {"".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"Fréchet distance (FID), seen prompts", "ratio, guidance_scale", "generation"} <= written
    box = [float(n) for n in root.attrib["viewBox"].split()]
    assert (root.attrib["width"], root.attrib["height"]) == (f"{box[2]:g}pt", f"{box[3]:g}pt")
    assert box[3] > 72 * TITLE
    for link in re.findall(r'(?:url\(|href=")#([^")]*)', text):
        assert f'id="{link}"' in text


def test_the_pdf_and_the_csv_can_be_downloaded(desktop: Visit, sweep: Path, tmp_path: Path) -> None:
    with desktop.page.expect_download() as waiting:
        desktop.page.get_by_role("link", name="Fréchet distance (FID), seen prompts as PDF").first.click()
    assert saved(waiting.value, tmp_path).read_bytes().startswith(b"%PDF-")
    with desktop.page.expect_download() as waiting:
        desktop.page.locator("a[data-csv]").click()
    path = saved(waiting.value, tmp_path)
    assert path.name == "collapse_lab.csv"
    rows = list(csv.DictReader(path.open(newline="")))
    records = [record for run in collect([sweep.parent]).runs for record in run.records]
    assert len(rows) == len(records)
    assert float(rows[0]["seen/classifier/fid"]) == pytest.approx(records[0].metrics["seen/classifier/fid"], rel=1e-5)


def test_without_scripts_the_page_lacks_only_the_buttons(browser: Browser, sweep: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(sweep.as_uri())
    assert page.get_by_label("Runs").locator("tbody tr").count() == 13
    assert page.locator("th button, .filter").count() == 0
    assert page.locator("button[data-svg]").first.is_hidden()
    assert page.locator("a[data-csv]").get_attribute("download") == "collapse_lab.csv.gz"
    context.close()


def test_links_at_the_top_lead_to_the_groups(browser: Browser, groups: Path) -> None:
    context = browser.new_context()
    opened = visit(context, groups)
    opened.page.get_by_role("link", name="nepotistic, 1 run").click()
    assert opened.page.url.endswith("#group-2")
    assert opened.page.locator("article").count() == 2
    context.close()
    assert opened.complaints == []
