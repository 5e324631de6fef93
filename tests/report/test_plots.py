"""The plots: phase diagrams, class histograms, dose and response, and the files for a paper."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from collapse_lab.errors import UserError
from collapse_lab.report import classes, curves, dose, phase
from collapse_lab.report.__main__ import main
from collapse_lab.report.dose import positions
from collapse_lab.report.plot import WIDTH, Caption, Legend, plot, stem
from collapse_lab.report.section import Section
from collapse_lab.report.style import palette, styled, themed, used_inks
from collapse_lab.report.tiles import Tiles, draw
from collapse_lab.results.collect import Collection, collect
from collapse_lab.results.series import point
from tests.report.run_folders import WORDS, write_plane, write_run

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_plane(tmp_path_factory.mktemp("plane"))


@pytest.fixture(scope="module")
def collection(plane: Path) -> Collection:
    return collect([plane])


def drawn(section: Section | None) -> Section:
    assert section is not None
    return section


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()).strip() for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def tiles(values: np.ndarray, floor: float | None = None, better: str = "") -> str:
    several = [values, values - 0.1, values + 0.1]
    rows, columns = ([str(i) for i in range(n)] for n in values.shape)
    heat_map = Tiles(np.stack(several), np.arange(values.shape[1]), columns, rows, "x", "y", better, floor=floor)
    return plot(lambda ax: draw(ax, heat_map), Caption("t"), "t", height=heat_map.height).svg


def test_a_phase_diagram_has_a_tile_for_each_configuration(collection: Collection) -> None:
    section = drawn(phase.section(collection))
    first = section.plots[0]
    assert (first.caption.title, first.caption.where) == ("Fréchet distance (FID)", "seen prompts")
    shown = texts(first.svg)
    for group in collection.seed_groups:
        mean, lo, hi = point(group.runs, "seen/classifier/fid", None)
        assert f"{mean:,.3g}" in shown
        assert "–".join(f"{v:.2g}" if abs(v) < 100 else f"{v:.0f}" for v in (lo, hi)) in shown
    assert {"0", "0.1", "1", "4", "ratio", "guidance_scale", "real"} <= set(shown)
    assert "t-interval over seeds" in section.note


def test_each_of_the_two_settings_may_be_the_horizontal_axis(collection: Collection) -> None:
    across = [drawn(phase.section(collection, knobs)).plots[0] for knobs in ((), ("guidance_scale", "ratio"))]
    assert [p.stem for p in across] == [
        "phase-ratio-model-guidance-scale-seen-classifier-fid",
        "phase-model-guidance-scale-ratio-seen-classifier-fid",
    ]


def test_settings_that_were_not_swept_are_refused(collection: Collection, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'guidance' was not swept here.*did you mean 'guidance_scale'"):
        phase.section(collection, ("ratio", "guidance"))
    for wrong in (("ratio",), ("ratio", "ratio"), ("ratio", "guidance_scale", "seed")):
        with pytest.raises(UserError, match="expected two settings"):
            phase.section(collection, wrong)
    for number in range(4):
        scale = {"guidance_scale": 1 + number // 2}
        write_run(tmp_path / str(number), float(number % 2), generations=1, grids=False, model=scale)
    page = [str(tmp_path), "--out", str(tmp_path / "page.html"), "--knobs"]
    assert main([*page, "ratio,nonsense"]) == 2
    assert main([*page, "guidance_scale, ratio"]) == 0


def test_one_setting_or_two_that_were_not_crossed_give_no_phase_diagram(tmp_path: Path) -> None:
    crossed = [{"a": 1, "b": 0}, {"a": 1, "b": 1}, {"a": 2, "b": 0}]
    for i, settings in enumerate([*crossed, {"a": 3, "b": 2}, {"a": 4, "b": 3}]):
        for folder in ("crossed", "uncrossed") if settings in crossed else ("uncrossed",):
            write_run(tmp_path / folder / str(i), generations=1, grids=False, **settings)  # type: ignore[arg-type]
    for ratio in (0.0, 1.0):
        write_run(tmp_path / "one" / str(ratio), ratio, generations=1, grids=False)
    assert phase.section(collect([tmp_path / "one"])) is None
    assert phase.section(collect([tmp_path / "crossed"])) is not None  # 3 of 4 tiles
    assert phase.section(collect([tmp_path / "uncrossed"])) is None  # 5 of 16
    assert phase.section(collect([tmp_path / "uncrossed"]), ("a", "b")) is not None


def test_a_third_setting_gives_further_panels(tmp_path: Path) -> None:
    for i in range(8):
        bits = {name: i >> place & 1 for place, name in enumerate("abc")}
        write_run(tmp_path / str(i), generations=1, grids=False, **bits)  # type: ignore[arg-type]
    section = drawn(phase.section(collect([tmp_path])))
    assert [(p.caption.title, p.caption.note.split(" · ")[0]) for p in section.plots] == [
        ("Fréchet distance (FID)", "c 0"),
        ("Fréchet distance (FID)", "c 1"),
        ("Recall", "c 0"),
        ("Recall", "c 1"),
    ]
    assert "--knobs A,B" in section.note


@pytest.mark.parametrize("label", ["a farmer in a wide field", "a photo of a teacher in a garden", "old man"])
def test_the_labels_of_tiles_lie_inside_the_plot(label: str) -> None:
    figure = Figure(figsize=(WIDTH, 3))
    tiles = Tiles(np.ones((3, 1, 2)), np.arange(2), ["0", "1"], [label], "generation", "group")
    with styled():
        ax = figure.add_axes((0.2, 0.2, 0.6, 0.6))
        draw(ax, tiles)
        figure.canvas.draw()
        (written,) = ax.get_yticklabels()
        assert written.get_window_extent().x0 > 0
    assert label.endswith(written.get_text().removeprefix("…"))
    assert written.get_text() == label or written.get_text().startswith("… ")


def test_tiles_show_intervals_a_floor_and_gaps() -> None:
    values = np.asarray([[1.0, 2.0], [1.5, np.nan]])
    counted = [svg.count("<path") for svg in (tiles(values), tiles(np.where(values == 1.5, np.nan, values)))]
    assert counted[0] - counted[1] == 3  # the tile and both halves of its strip
    assert "real" in texts(tiles(values, floor=0.5))
    assert "real" not in texts(tiles(values))


def test_bright_is_better() -> None:
    yellow, purple = "#fde725", "#440154"

    def colour_of(svg: str, value: str) -> Any:
        # Both halves of its strip follow each tile.
        return re.findall(r"fill: (#[0-9a-f]{6})", svg)[3 * int(value)]

    values = np.asarray([[0.0, 1.0]])
    colours = {better: [colour_of(tiles(values, better=better), v) for v in "01"] for better in ("lower", "higher", "")}
    assert colours["lower"] == [yellow, purple]
    assert colours["higher"] == colours[""] == [purple, yellow]


def test_wide_ranges_have_logarithmic_colours_and_a_single_value_is_drawn() -> None:
    assert "100" in texts(tiles(np.asarray([[2.0, 30.0, 400.0]])))
    tiles(np.asarray([[7.0]]))
    tiles(np.asarray([[0.0]]))


def test_the_class_histogram_is_drawn_beside_the_real_one(collection: Collection) -> None:
    section = drawn(classes.section(collection))
    assert len(section.plots) == 3
    assert "3 of 6 configurations are drawn" in section.note
    last = section.plots[-1]
    assert last.caption == Caption("Share of each class", "seen prompts", "ratio 1, guidance_scale 4")
    shown = texts(last.svg)
    assert [word for word in shown if word in WORDS] == WORDS[::-1]  # drawn from the bottom up, read from the top down
    assert {"real", "0", "1", "2", "0.20", "generation"} <= set(shown)
    weights = np.exp(-0.8 * np.arange(5))
    assert f"{1 / weights.sum():.2f}" in shown


def test_class_shares_have_no_curves(collection: Collection) -> None:
    makers = (curves.first_section, curves.key_section, curves.other_section)
    stems = [p.stem for make in makers for p in drawn(make(collection)).plots]
    assert len(stems) == len(set(stems)) == 5
    assert not any("class-share" in stem for stem in stems)


def test_classes_without_words_or_real_shares_are_drawn(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", generations=1, grids=False, classes=True)
    ledger = folder / "ledger.jsonl"
    ledger.write_text(
        re.sub(r', "[^"]*class_share_\d_floor": [\d.]+', "", ledger.read_text()).replace('"classes"', '"c"')
    )
    shown = texts(drawn(classes.section(collect([folder]))).plots[0].svg)
    assert "real" not in shown
    assert [t for t in shown if t in "01234"].count("4") == 1


def test_more_than_ten_classes_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", generations=0, grids=False, classes=True)
    ledger = folder / "ledger.jsonl"
    for k in (10, 41):
        ledger.write_text(
            ledger.read_text().replace('"metrics": {', f'"metrics": {{"seen/classifier/class_share_{k}": 0.01, ')
        )
    shown = texts(drawn(classes.section(collect([folder]))).plots[0].svg)
    assert [t for t in shown if t in (*WORDS, "10", "41")] == ["41", "10", *WORDS[::-1]]


def test_zero_has_a_place_on_a_logarithmic_axis() -> None:
    assert positions([0, 1, 2]) == {0: 0, 1: 1, 2: 2}
    placed = positions([0.0, 0.005, 0.1, 1.0])
    assert list(placed.values()) == sorted(placed.values())
    assert placed[1.0] - placed[0.1] == pytest.approx(1)


def test_a_dose_has_a_line_for_each_other_setting(collection: Collection) -> None:
    section = drawn(dose.section(collection))
    assert section.context["legend_title"] == "guidance_scale"
    assert [label for _, _, label in section.context["legend"]] == ["1", "4"]
    assert {"0", "0.1", "1", "floor: real against real"} <= set(texts(section.plots[0].svg))


def test_a_single_seed_has_the_intervals_of_its_ledger(tmp_path: Path) -> None:
    for ratio in (0.0, 1.0):
        for scale in (1, 2):
            write_run(tmp_path / f"{ratio}-{scale}", ratio, 0, 2, grids=False, classes=True, scale=scale)
    one = collect([tmp_path])
    for make in (curves.first_section, dose.section, phase.section, classes.section):
        section = drawn(make(one))
        assert "over samples" in section.note
        assert "seeds" not in section.note
    last = one.seed_groups[-1].runs[0].records[-1].metrics
    lo, hi = (last[f"seen/classifier/fid_{end}"] for end in ("lo", "hi"))
    assert "–".join(f"{v:.2g}" if v < 100 else f"{v:.0f}" for v in (lo, hi)) in texts(
        drawn(phase.section(one)).plots[0].svg
    )


def test_the_files_have_title_and_legend_and_the_page_shows_the_axes_alone() -> None:
    inks = palette(2, ordered=False)
    legend = Legend("knob", ["one", "two"], inks)
    made = plot(lambda ax: ax.set_xlabel("axis"), Caption("Title", "where", "note"), "t", legend=legend)
    assert texts(made.svg)[-5:] == ["Title, where", "note", "knob", "one", "two"]
    view_box, shown = (re.search(pattern, made.inline) for pattern in (r'data-paper="([^"]*)"', r' viewBox="([^"]*)"'))
    assert view_box is not None
    assert shown is not None
    paper, page = ([float(n) for n in box[1].split()] for box in (view_box, shown))
    assert page[0] == 0
    assert page[1] > 0
    assert page[2] < paper[2]
    assert page[1] + page[3] == pytest.approx(paper[3])  # the title is above what the page shows
    assert inks[0][0] in made.svg
    assert inks[0][0] not in made.inline
    assert f"var(--c{inks[0][0][1:]})" in made.inline
    assert inks[0] in used_inks(made.inline)


def test_a_pdf_embeds_truetype_and_no_type_3() -> None:
    made = plot(lambda ax: ax.set_xlabel("Größe, α ≤ 1"), Caption("Fréchet"), "t")
    assert made.pdf.startswith(b"%PDF-")
    assert b"/FontFile2" in made.pdf
    assert b"/Type3" not in made.pdf
    assert made.pdf == plot(lambda ax: ax.set_xlabel("Größe, α ≤ 1"), Caption("Fréchet"), "t").pdf


def test_ids_of_two_figures_differ_and_labels_keep_their_digits() -> None:
    made = [plot(lambda ax, k=k: ax.plot([0, k], [0.12345, 1]), Caption(f"0.12345 {k}"), "t") for k in (1, 2)]  # type: ignore[misc]
    ids = [set(re.findall(r' id="([^"]*)"', figure.inline)) for figure in made]
    assert ids[0]
    assert not ids[0] & ids[1]
    for own_ids, figure in zip(ids, made, strict=True):
        assert set(re.findall(r'(?:url\(|href=")#([^")]*)', figure.inline)) <= own_ids
        assert "0.12345" in figure.inline


def test_the_label_of_a_figure_is_escaped() -> None:
    assert "&lt;b&gt;" in themed('<svg viewBox="0 0 1 1"></svg>', "<b>", (0, 0, 1, 1))


def test_stems_are_safe_file_names() -> None:
    assert stem("curve", "seen/a b/fid", "lr 1e-05") == "curve-seen-a-b-fid-lr-1e-05"


def test_every_plot_of_the_page_is_written_as_files(
    plane: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, folder = tmp_path / "page.html", tmp_path / "figures"
    assert main([str(plane), "--out", str(page), "--figures", str(folder)]) == 0
    offered = re.findall(r'download="([^"]*\.pdf)"', page.read_text())
    assert len(offered) == len(set(offered)) > 5 + 4 + 4 + 4  # curves, doses, phases, histograms, and more
    assert {p.name for p in folder.glob("*.pdf")} > set(offered)  # because folded plots are PDF files here alone
    assert set(re.findall(r'data-svg="([^"]*)"', page.read_text())) == {p.name for p in folder.glob("*.svg")}
    assert {p.stem for p in folder.glob("*.svg")} == {p.stem for p in folder.glob("*.pdf")}
    (tmp_path / "file").touch()
    assert main([str(plane), "--out", str(page), "--figures", str(tmp_path / "file")]) == 2
    assert "the figures cannot be written" in capsys.readouterr().err
