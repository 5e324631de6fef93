"""The phase diagram of interacting linear models: the map of the theory with the runs on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf
from playwright.sync_api import Browser

from collapse_lab import compose
from collapse_lab.report import phase, write_report
from collapse_lab.results.collect import collect
from collapse_lab.storage.formats import FORMAT, MARK
from tests.browser import browsed
from tests.browser import browser as browser

pytestmark = pytest.mark.usefixtures("no_pdf")


def write(folder: Path, *overrides: str) -> Path:
    """Write a sweep of linear models over α and β, of which two have an efficiency of 0.25 and two one of 0.75."""
    for alpha in (0.0, 0.5):
        for beta in (0.0, 1.0):
            lines = ["generations=1", "dataset.dimension=2", "dataset.rows=4", *overrides]
            cfg = compose("+experiment=interacting_linear", *lines, f"ratio={alpha}", f"mixing.beta={beta}").cfg
            config: Any = OmegaConf.to_container(cfg, resolve=True)
            run = folder / f"{alpha}-{beta}"
            run.mkdir(parents=True)
            (run / "config.yaml").write_text(yaml.safe_dump({MARK: FORMAT, **config}))
            records = [
                {
                    "generation": generation,
                    "model": model,
                    "counts": {"real": 4, "synthetic": 4},
                    "metrics": {"public/relative_efficiency": value, "public/relative_efficiency_theory": 0.5},
                    "seconds": {},
                    "status": "ok",
                    "keys": {},
                    "features": {},
                }
                for generation in (0, 1)
                for model, value in zip("abcd", (0.25, 0.25, 0.75, 0.75), strict=True)
            ]
            (run / "ledger.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def test_the_runs_are_points_on_the_map_of_the_theory(tmp_path: Path) -> None:
    section = phase.section(collect([write(tmp_path)]))
    assert section is not None
    (plot,) = section.plots
    assert plot.caption.title == "Relative efficiency of the population"
    (read,) = json.loads(plot.readings)
    texts = [text for *_, text in read["points"]]
    assert len(texts) == 4
    # Of models of 1/4 and 3/4 the mean excess is that of 3/8
    assert "alpha 0.5, beta 1\nsimulated 0.375\ntheory 0.5" in texts
    (bottom, left), (top, right) = (
        read["points"][texts.index(f"alpha {a}, beta {b}\nsimulated 0.375\ntheory 0.5")][1::-1]
        for a, b in ((0, 0), (0.5, 1))
    )
    assert left < right
    assert top < bottom
    assert plot.inline.count("<image") == 1


def test_without_a_theory_the_swept_cells_are_tiles(tmp_path: Path) -> None:
    section = phase.section(collect([write(tmp_path, "mixing.by=rows")]))
    assert section is not None
    assert "The strip below a tile" in section.note
    assert [plot.readings for plot in section.plots] == [""]


@browsed
def test_a_point_shows_both_numbers_to_a_reader_who_points_at_it(browser: Browser, tmp_path: Path) -> None:
    file = write_report([write(tmp_path / "runs")], tmp_path / "report.html")
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(file.as_uri())
    figure = page.locator("figure[data-readings]").filter(has_text="Relative efficiency of the population")
    figure.scroll_into_view_if_needed()
    box = figure.locator("svg").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.15 * box["width"], box["y"] + 0.1 * box["height"])
    assert page.locator(".tip").inner_text() == "alpha 0, beta 1\nsimulated 0.375\ntheory 0.5"
