from __future__ import annotations

import json
import re
import subprocess
import sys
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from collapse_lab.errors import UserError
from collapse_lab.report import write_report
from collapse_lab.report.__main__ import main
from collapse_lab.report.summary import headline, scope
from collapse_lab.results.collect import collect
from collapse_lab.results.names import Name, base_names
from collapse_lab.results.series import over_generations
from collapse_lab.storage.formats import ENVIRONMENT, OLDER_ENVIRONMENT
from tests.report.run_folders import write_run, write_sweep


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sweep(tmp_path_factory.mktemp("runs") / "nepotistic")


@pytest.fixture(scope="module")
def page(sweep: Path) -> str:
    return write_report([sweep], sweep / "report.html").read_text()


class Balance(HTMLParser):
    """Check that each closing tag closes the element that was opened last."""

    VOID = frozenset({"meta", "link", "img", "br", "path", "use", "rect", "circle"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_is_complete_and_needs_no_other_file(page: str) -> None:
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    assert re.findall(r'(?<!xmlns=")(?<!xmlns:xlink=")https?://', page) == []
    for link in re.findall(r'(?:src|href)="([^"]*)"', page):
        assert link.startswith(("data:", "#")), link
    assert "/somewhere/private" not in page
    assert "@import" not in page


def test_every_metric_and_every_grid_is_on_the_page(sweep: Path, page: str) -> None:
    for name in collect([sweep]).names:
        assert name.title in page
    assert page.count("<img ") == 5 * 6 * 2
    grid = (sweep / "r0-s0" / "grids" / "seen" / "model-g000.png").read_bytes()
    embedded = re.search(r'src="data:image/png;base64,([^"]*)"', page)
    assert embedded is not None
    assert b64decode(embedded[1]) == grid


def test_knobs_seeds_and_seed_groups(sweep: Path) -> None:
    collection = collect([sweep, sweep / "r0-s0"])
    assert len(collection.runs) == 15
    assert collection.knobs == ("ratio",)
    assert [group.knobs["ratio"] for group in collection.seed_groups] == [0, 0.005, 0.1, 0.5, 1]
    assert [run.seed for run in collection.seed_groups[0].runs] == [0, 1, 2]
    assert (
        scope(collection) == "5 configurations · 15 runs · 3 seeds · generations 0 to 5 · ratio: 0, 0.005, 0.1, 0.5, 1"
    )
    assert collection.warnings == []


def test_lines_of_a_sweep_are_means_with_t_intervals(sweep: Path) -> None:
    collection = collect([sweep])
    line = over_generations(collection, "seen/classifier/fid")[-1]
    values = [run.records[5].metrics["seen/classifier/fid"] for run in collection.seed_groups[-1].runs]
    half = 4.302652729911275 * np.std(values, ddof=1) / np.sqrt(3)  # t of 2 degrees of freedom at 0.975
    assert line.mean[5] == pytest.approx(np.mean(values))
    assert line.hi[5] - line.mean[5] == pytest.approx(half)
    assert list(line.x) == [0, 1, 2, 3, 4, 5]


def test_a_single_run_has_the_bands_of_its_ledger(tmp_path: Path) -> None:
    collection = collect([write_run(tmp_path / "run")])
    (line,) = over_generations(collection, "seen/classifier/fid")
    first = collection.runs[0].records[0].metrics
    assert (line.lo[0], line.hi[0]) == (first["seen/classifier/fid_lo"], first["seen/classifier/fid_hi"])


def test_the_headline_is_computed_from_the_ledgers(tmp_path: Path, sweep: Path) -> None:
    run = collect([write_run(tmp_path / "run")])
    first, last = (run.runs[0].records[g].metrics["seen/classifier/fid"] for g in (0, 5))
    change = f"rose from {first:.3g} to {last:.3g} over 5 generations (floor, real against real: 7.1)"
    assert headline(run)[0] == f"FID on seen prompts {change}."
    assert headline(run)[1].startswith("Recall on seen prompts fell from")
    assert headline(collect([sweep]))[0].startswith("At generation 5, FID on seen prompts was")


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ((1.07, 1.0, 1.14), (0.9, 0.8, 0.99), "fell from 1.07 to 0.9 over"),
        ((1.07, 0.9, 1.2), (0.9, 0.8, 1.0), "went from 1.07 to 0.9, which their intervals do not tell apart, over"),
        ((1.0, 0.99, 1.01), (1.04, 1.03, 1.05), "stayed flat, from 1 to 1.04 over"),
        ((1.0, None, None), (1.04, None, None), "stayed flat, from 1 to 1.04 over"),
        ((1.0, None, None), (2.0, None, None), "rose from 1 to 2 over"),
        ((1.0, 0.5, 1.5), (2.0, None, None), "rose from 1 to 2 over"),
    ],
)
def test_the_headline_tells_a_change_only_where_the_intervals_allow_it(
    tmp_path: Path, first: tuple[float | None, ...], last: tuple[float | None, ...], words: str
) -> None:
    collection = collect([write_run(tmp_path / "run")])
    key = "seen/classifier/fid"
    for record, values in zip(collection.runs[0].records, (first, *[last] * 5), strict=True):
        for name, value in zip((key, f"{key}_lo", f"{key}_hi"), values, strict=True):
            record.metrics.pop(name)
            if value is not None:
                record.metrics[name] = value
    assert headline(collection)[0].startswith(f"FID on seen prompts {words} 5 generations")


@pytest.mark.usefixtures("no_pdf")
def test_diverged_and_unfinished_runs_are_marked(tmp_path: Path) -> None:
    write_run(tmp_path / "a", ratio=1.0, last=3, status="diverged", grids=False)
    write_run(tmp_path / "b", ratio=0.1, last=2, grids=False)
    collection = collect([tmp_path])
    assert {run.status for run in collection.runs} == {"diverged", "unfinished (2 of 5)"}
    page = tmp_path / "page.html"
    assert main([str(tmp_path), "--out", str(page)]) == 1
    text = page.read_text()
    assert "nepotistic a diverged" in text
    assert ">diverged</text>" in text


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([{"models": ("anna", "bert")}], "anna"),
        ([{"ratio": r, "guidance_scale": w} for r in (0.0, 1.0) for w in (1, 2)], "guidance_scale 2"),
        ([{"name": "nepotistic"}, {"name": "fresh"}], "fresh and nepotistic"),
        ([{"generations": 0}], "was"),
        ([{"model": {"kind": k}} for k in ("<unet>", "a&b")], "&lt;unet&gt;"),
    ],
)
@pytest.mark.usefixtures("no_pdf")
def test_collections_of_other_shapes_have_a_page(tmp_path: Path, runs: list[dict[str, object]], expected: str) -> None:
    for i, settings in enumerate(runs):
        write_run(tmp_path / str(i), grids=False, **settings)  # type: ignore[arg-type]
    text = write_report([tmp_path], tmp_path / "out" / "report.html").read_text()
    parser = Balance()
    parser.feed(text)
    assert expected in text
    assert "<unet>" not in text


@pytest.mark.parametrize("name", [ENVIRONMENT, OLDER_ENVIRONMENT])
@pytest.mark.usefixtures("no_pdf")
def test_provenance_is_shown_without_paths(tmp_path: Path, name: str) -> None:
    folder = write_run(tmp_path / "run", grids=False)
    provenance = {"commit": "0d7c9bc", "command": ["/somewhere/private"], "paths": {"data": "/somewhere/private"}}
    (folder / name).write_text(json.dumps(provenance))
    text = write_report([folder], tmp_path / "report.html").read_text()
    assert "commit: 0d7c9bc" in text
    assert "private" not in text


@pytest.mark.usefixtures("no_pdf")
def test_a_run_without_metrics_has_a_page(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", generations=1)
    ledger = folder / "ledger.jsonl"
    ledger.write_text(re.sub(r'"metrics": \{[^}]*\}', '"metrics": {}', ledger.read_text()))
    assert "No metric was measured" in write_report([folder], tmp_path / "report.html").read_text()


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_figure_for_a_paper_is_written(sweep: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"figure.{ending}"
    metrics = ["--metric", "seen/classifier/fid", "--metric", "unseen/classifier/fid"]
    assert main([str(sweep), "--figure", str(out), *metrics]) == 0
    assert out.stat().st_size > 5000
    if ending == "png":
        assert Image.open(out).width > Image.open(out).height


def test_bad_input_is_refused(tmp_path: Path, sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "absent")]) == 2
    assert main([str(tmp_path)]) == 2
    assert "no ledger with a record" in capsys.readouterr().err
    assert main([str(sweep), "--figure", str(tmp_path / "f.png"), "--metric", "seen/classifer/fid"]) == 2
    assert "did you mean 'seen/classifier/fid'?" in capsys.readouterr().err
    assert main([str(sweep), "--figure", str(tmp_path / "f.nonsense")]) == 2
    (write_run(tmp_path / "broken") / "config.yaml").write_text("a: [")
    with pytest.raises(UserError, match=r"config\.yaml"):
        collect([tmp_path])


def test_intervals_and_floors_are_no_metrics_of_their_own() -> None:
    assert Name.of("all/perplexity") == Name("all/perplexity", "all", "", "perplexity")
    keys = [
        "seen/c/fid",
        "seen/c/fid_lo",
        "seen/c/fid_hi",
        "seen/c/fid_floor",
        "seen/c/fid_floor_lo",
        "a/x_lo",
    ]
    assert [name.key for name in base_names(keys)] == ["seen/c/fid", "a/x_lo"]


def test_help_imports_no_plotting_library() -> None:
    code = (
        "import sys\nfrom collapse_lab.report.__main__ import main\n"
        "try: main(['--help'])\nfinally: assert not {'matplotlib', 'scipy', 'jinja2', 'torch'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--knobs A,B" in done.stdout


def test_making_a_page_imports_neither_torch_nor_hydra(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", grids=False)
    code = (
        "import sys, collapse_lab.report.__main__ as r; r.main([sys.argv[1]]);"
        "assert not {'torch', 'hydra', 'wandb', 'lightning', 'pytorch_lightning'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(run)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (run / "report.html").exists()
