"""Histograms and examples of generated texts: what they hold, how they escape, and what bounds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from collapse_lab.engine.excerpts import histogram
from collapse_lab.report import texts, write_report
from collapse_lab.report.section import Section
from collapse_lab.results.collect import collect
from collapse_lab.storage.formats import PER_OCTAVE
from tests.report.run_folders import write_run

pytestmark = pytest.mark.usefixtures("no_pdf")

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>{{ 7 * 7 }} &amp; "\''
WIDTHS = (0.4, 0.5, 0.6)  # of the logarithm of the perplexities of generations 0, 1 and 2


def values(generation: int, seed: int = 0, n: int = 4000) -> np.ndarray:
    return np.exp(np.random.default_rng([generation, seed]).normal(4 - 0.2 * generation, WIDTHS[generation], n))


def write_texts(folder: Path, seed: int = 0, text: str = "It was warm.", prompts: int = 8) -> None:
    place = folder / "texts" / "all"
    place.mkdir(parents=True)
    real = np.exp(np.random.default_rng(9).normal(4, 0.4, 4000))
    for generation in range(3):
        content: dict[str, Any] = {
            "examples": [{"prompt": f"prompt {i} {text}", "text": f"g{generation} {text}"} for i in range(prompts)],
            "histograms": {
                "generated_perplexity": histogram(values(generation, seed)),
                "real_perplexity": histogram(real),
            },
        }
        (place / f"model-g{generation:03d}.json").write_text(json.dumps(content))


def run(folder: Path, ratio: float = 1.0, seed: int = 0, **arguments: Any) -> Path:
    write_run(folder, ratio, seed, 2, texts=True, grids=False)
    write_texts(folder, seed, **arguments)
    return folder


def shown(section: Section | None) -> Section:
    assert section is not None
    return section


def test_a_step_line_is_the_share_of_texts_in_each_quarter_of_an_octave() -> None:
    sample = values(0)
    edges, shares = texts.steps({int(k): v for k, v in histogram(sample).items()})
    assert shares.sum() == pytest.approx(1)
    assert shares == pytest.approx(np.histogram(sample, edges)[0] / len(sample))
    assert np.diff(np.log2(edges)) == pytest.approx(2 / PER_OCTAVE)
    assert list(histogram(np.array([1.0, 2.0]))) == ["0", str(PER_OCTAVE)]


def test_texts_of_all_seeds_are_counted_together(tmp_path: Path) -> None:
    for seed in (0, 1):
        run(tmp_path / str(seed), seed=seed)
    (group,) = collect([tmp_path]).seed_groups
    lines = texts.pooled(group, "all")
    assert set(lines) == {None, 0, 1, 2}
    together = histogram(np.concatenate([values(2, 0), values(2, 1)]))
    assert lines[2] == {int(k): v for k, v in together.items()}
    assert "all seeds" in shown(texts.histograms(collect([tmp_path]))).note


def test_each_generation_has_a_line_and_real_text_a_dashed_one(tmp_path: Path) -> None:
    (group,) = collect([run(tmp_path / "run")]).seed_groups
    ax = Figure().add_subplot()
    inks = {g: (f"#00000{g}", f"#ffffff{g}") for g in range(3)}
    texts.draw(ax, texts.pooled(group, "all"), inks, (1, 1000))
    drawn = [patch for patch in ax.patches if hasattr(patch, "get_data")]
    assert len(drawn) == 4
    assert [patch.get_linestyle() == "-" for patch in drawn] == [False, True, True, True]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_the_same_prompts_stand_side_by_side_over_the_generations(tmp_path: Path) -> None:
    (row, *others) = texts.continued(collect([run(tmp_path / "run")]).seed_groups[0].runs[0], "all", "ratio 1")
    assert row == texts.Row("ratio 1", "prompt 0 It was warm.", [(g, f"g{g} It was warm.") for g in range(3)])
    assert len(others) == texts.MOST_PROMPTS - 1
    assert {other.label for other in others} == {""}


def test_line_breaks_are_shown_and_take_no_lines() -> None:
    assert texts.cut("a\nb\n\n") == "a ⏎ b ⏎  ⏎ "
    assert len(texts.cut("\n" * 10**5)) == texts.MOST_CHARACTERS


def test_texts_are_escaped_and_cut_in_the_page(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    for i in range(6):
        run(root / str(i), ratio=i / 6, text=f"{HOSTILE} {'long ' * 5000}")
    page = write_report([root], tmp_path / "report.html").read_text()
    assert "Examples of texts" in page
    assert "&lt;script&gt;alert(" in page
    assert "{{ 7 * 7 }}" in page
    assert "alert(1)&gt;" in page
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    body = shown(texts.examples(collect([root]))).body
    assert len(body) < 2 * texts.MOST_ROWS * texts.MOST_PROMPTS * (1 + texts.MOST_GENERATIONS) * texts.MOST_CHARACTERS
    assert body.count("<blockquote>") == texts.MOST_ROWS * texts.MOST_PROMPTS * 3


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"examples": 3, "histograms": {}}', '{"examples": [], "histograms": {"real_perplexity": [1]}}'],
)
def test_a_file_that_cannot_be_read_is_left_out(tmp_path: Path, content: str) -> None:
    folder = run(tmp_path / "run")
    (folder / "texts" / "all" / "model-g001.json").write_text(content)
    (one,) = collect([folder]).runs
    assert list(texts.excerpts(one, "all")) == [0, 2]


def test_runs_without_texts_have_no_sections(tmp_path: Path) -> None:
    collection = collect([write_run(tmp_path / "run", generations=1, texts=True, grids=False)])
    assert texts.histograms(collection) is None
    assert texts.examples(collection) is None
