"""The fan of perplexities under generation 0."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from collapse_lab.report import curves, perplexities, phase
from collapse_lab.report.__main__ import main
from collapse_lab.report.perplexities import Fan, draw, fan
from collapse_lab.report.section import Section
from collapse_lab.report.summary import headline
from collapse_lab.results.collect import Collection, collect
from collapse_lab.results.names import Name
from tests.report.run_folders import PERCENT, write_run
from tests.report.run_folders import perplexities as perplexities_of

SVG = "{http://www.w3.org/2000/svg}"
RATIOS = (0.0, 0.1, 1.0)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("texts")
    for ratio in RATIOS:
        for seed in range(2):
            write_run(root / f"{ratio}-{seed}", ratio, seed, texts=True, grids=False)
    return root


@pytest.fixture(scope="module")
def collection(sweep: Path) -> Collection:
    return collect([sweep])


def drawn(section: Section | None) -> Section:
    assert section is not None
    return section


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()).strip() for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_a_fan_holds_the_quantiles_of_the_ledgers(collection: Collection) -> None:
    for group, ratio in zip(collection.seed_groups, RATIOS, strict=True):
        quantiles = fan(group, "all")
        assert quantiles is not None
        assert quantiles.x.tolist() == [0, 1, 2, 3, 4, 5]
        for percent in PERCENT:
            key = f"all/generated_perplexity_q{percent}"
            assert quantiles.generated[percent] == pytest.approx([perplexities_of(g, ratio)[key] for g in range(6)])
        assert quantiles.real == pytest.approx({p: 32 * np.exp(0.5 * PERCENT[p]) for p in ("05", "50", "95")})


def test_seeds_are_averaged(tmp_path: Path) -> None:
    for seed in range(2):
        ledger = write_run(tmp_path / str(seed), 1.0, seed, 0, texts=True, grids=False) / "ledger.jsonl"
        name = '"all/generated_perplexity_q50": '
        ledger.write_text(re.sub(rf"{name}[\d.]+", f"{name}{10 + 4 * seed}", ledger.read_text()))
    (group,) = collect([tmp_path]).seed_groups
    quantiles = fan(group, "all")
    assert quantiles is not None
    assert quantiles.generated["50"].tolist() == [12]


def test_each_band_lies_between_its_two_quantiles(collection: Collection) -> None:
    quantiles = fan(collection.seed_groups[-1], "all")
    assert quantiles is not None
    ax = Figure().add_subplot()
    draw(ax, quantiles, "#0072b2", (1, 1000))
    assert ax.get_yscale() == "log"
    bands = [np.asarray(patch.get_xy()) for patch in ax.patches if isinstance(patch, Polygon)][:3]
    for band, (low, high) in zip(bands, (("01", "99"), ("05", "95"), ("25", "75")), strict=True):
        assert band[:6, 1] == pytest.approx(quantiles.generated[low])
        assert band[6:12, 1] == pytest.approx(quantiles.generated[high][::-1])
    median = next(line for line in ax.lines if len(np.asarray(line.get_xdata())) == 6)
    assert np.asarray(median.get_ydata()) == pytest.approx(quantiles.generated["50"])


def test_each_configuration_has_a_panel_and_all_share_one_scale(collection: Collection) -> None:
    section = drawn(perplexities.section(collection))
    assert [plot.caption.note for plot in section.plots] == [f"ratio {r:g} · under generation 0" for r in RATIOS]
    shown = [texts(plot.svg) for plot in section.plots]
    assert all({"real text", "generation", "10", "20", "100"} <= set(panel) for panel in shown)
    numbers = [[text for text in panel if re.fullmatch(r"[\d,]+", text)] for panel in shown]
    assert numbers[0] == numbers[1] == numbers[2]
    assert "over seeds" in section.note
    assert len({plot.stem for plot in section.plots}) == 3


def test_quantiles_have_no_panels_of_their_own_and_perplexity_is_the_headline(collection: Collection) -> None:
    first = drawn(curves.first_section(collection))
    assert [plot.stem for plot in first.plots] == ["curve-all-perplexity"]
    assert curves.other_section(collection) is None
    assert "perplexity was 34 at ratio 0 and 50.5 at ratio 1" in headline(collection)[0]
    assert phase.section(collection) is None
    assert Name.of("all/generated_perplexity_q05").title.startswith("5 % quantile of the perplexity")
    assert not Name.of("all/generated_perplexity").is_part


def test_images_have_no_fan_and_a_single_generation_is_a_bar(tmp_path: Path) -> None:
    write_run(tmp_path / "images", grids=False)
    assert perplexities.section(collect([tmp_path / "images"])) is None
    write_run(tmp_path / "one", generations=0, texts=True, grids=False)
    section = drawn(perplexities.section(collect([tmp_path / "one"])))
    assert "over seeds" not in section.note
    ax = Figure().add_subplot()
    draw(ax, Fan(np.zeros(1), {p: np.full(1, 2.0 + int(p)) for p in PERCENT}, {}), "#0072b2", (1, 1000))
    assert np.ptp(np.asarray(ax.patches[0].get_path().vertices)[:, 0]) == pytest.approx(0.4)


def test_of_many_configurations_some_are_drawn_and_the_note_says_so(tmp_path: Path) -> None:
    for i in range(8):
        write_run(tmp_path / str(i), i / 8, generations=1, texts=True, grids=False)
    section = drawn(perplexities.section(collect([tmp_path])))
    assert len(section.plots) == 6
    assert "6 of 8 configurations are drawn" in section.note


def test_the_page_its_files_and_the_csv_have_the_quantiles(sweep: Path, tmp_path: Path) -> None:
    page, table, folder = tmp_path / "page.html", tmp_path / "all.csv", tmp_path / "figures"
    assert main([str(sweep), "--out", str(page), "--csv", str(table), "--figures", str(folder)]) == 0
    assert "Perplexity under generation 0" in page.read_text()
    assert {f"perplexities-all-ratio-{r}.{e}" for r in ("0", "0-1", "1") for e in ("svg", "pdf")} <= {
        path.name for path in folder.iterdir()
    }
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert float(rows[-1]["all/generated_perplexity_q99"]) == pytest.approx(
        perplexities_of(5, 1.0)["all/generated_perplexity_q99"]
    )
