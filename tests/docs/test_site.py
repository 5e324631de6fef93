"""The documentation builds without a warning, its search finds definitions first, and its pages fit narrow screens."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser import browsed
from tests.browser import browser as browser
from tests.docs.pages import DOCS
from tests.e2e.command import ROOT, environment

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("mkdocs", "material", "mkdocstrings")),
    reason="the extra `docs` is not installed: pip install 'collapse-lab[docs]'",
)
# Words of ours that the definition of another word may not push down
TERMS = ("stage", "cell", "floor", "lineage", "exposure", "signature", "generation", "pool", "ratio", "replica")
PAGES = ("index", "start", "words", "recipes/own_pictures", "experiments/nepotistic", "configuration/model", "claims")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--config-file", ".mkdocs.yml"]
    done = subprocess.run(
        [*command, "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment(NO_MKDOCS_2_WARNING="1"),
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """The address of the site on this machine: the search needs a server."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_site_has_every_group_and_room_and_loads_nothing_from_elsewhere(site: Path) -> None:
    for group in (path for path in (ROOT / "conf").iterdir() if path.is_dir() and path.name != "hydra"):
        page = (site / "configuration" / f"{group.name}.html").read_text()
        for option in group.glob("*.yaml"):
            assert f'id="{group.name}-{option.stem}"' in page
    for room in ("metrics", "theory", "types", "models"):
        assert f"collapse_lab.{room}." in (site / "api" / f"{room}.html").read_text()
    for written in site.rglob("*.html"):
        assert not re.search(r'<(?:script|img|link)[^>]* (?:src|href)="https?:', written.read_text()), written


@browsed
def test_a_search_for_a_word_finds_its_definition_first(address: str, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"{address}/index.html")
    query = page.locator("input[name=query]")
    query.focus()  # the search reads its index when it is needed first
    for term in TERMS:
        query.fill(term[:-1])
        query.press(term[-1])  # the search listens to keys
        # The links of a result say what was searched for, so these are not those of the last term
        page.locator(f".md-search-result__item a[href*='h={term}']").first.wait_for(state="attached")
        links = page.locator(".md-search-result__item").first.locator("a")
        texts = [str(link.get_attribute("href")) for link in links.all()]
        assert "words.html" in texts[0], (term, texts)
        sections = [link.split("#")[1].split("?")[0] for link in texts if "#" in link]
        assert sections[0] == term, (term, texts)
    page.close()


@browsed
@pytest.mark.parametrize("width", [390, pytest.param(1280, marks=pytest.mark.slow)])  # a narrow one is the harder
def test_pages_fit_the_width_of_the_screen(width: int, address: str, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    for name in PAGES:
        page.goto(f"{address}/{name}.html", wait_until="domcontentloaded")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.locator("h1").first.is_visible()
    page.close()


def test_every_preset_has_a_page_of_an_experiment() -> None:
    text = "".join(path.read_text() for path in (DOCS / "experiments").glob("*.md"))
    for preset in (ROOT / "conf" / "experiment").glob("*.yaml"):
        assert f"../configuration/experiment.md#experiment-{preset.stem})" in text, preset.stem


def test_a_word_is_defined_before_it_is_used_in_a_definition() -> None:
    text = (DOCS / "words.md").read_text()
    parts = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    headings = [part.split("\n", 1)[0].lower() for part in parts]
    for place, part in enumerate(parts):
        body = part.lower()
        for later in headings[place + 1 :]:
            assert not re.search(rf"(?<![\w-]){re.escape(later)}s?(?![\w-])", body), (headings[place], later)


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda path: str(path.relative_to(DOCS)))
def test_every_block_of_code_is_closed_before_the_next_begins(path: Path) -> None:
    fences = [line for line in path.read_text().splitlines() if line.startswith("```")]
    assert len(fences) % 2 == 0
    assert all(re.match(r"```\w+", line) for line in fences[::2])
    assert set(fences[1::2]) <= {"```"}
