"""What the page shows of a population: who knows what, and who is like whom."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from collapse_lab.report import flow, members, write_report
from collapse_lab.report.summary import headline
from collapse_lab.results.collect import collect
from collapse_lab.storage.formats import FORMAT, MARK

pytestmark = pytest.mark.usefixtures("no_pdf")

PERPLEXITY = {("a", "novels"): 20.0, ("a", "speeches"): 200.0, ("b", "novels"): 300.0, ("b", "speeches"): 30.0}


def write(folder: Path, models: tuple[str, ...] = ("a", "b"), ratio: float = 0.5, **groups: Any) -> Path:
    """Write a run of two language models, of which each learns the other's domain."""
    folder.mkdir(parents=True)
    config = {MARK: FORMAT, "name": "interacting_lm", "seed": 0, "ratio": ratio, "generations": 3, **groups}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    lines = []
    for generation in range(4):
        for model in models:
            metrics = {
                f"{subset}/perplexity": value / (1 + generation if value > 100 else 1)
                for (member, subset), value in PERPLEXITY.items()
                if member == model
            }
            if model == "b":
                metrics["novels/text_embedding/similarity_a"] = 0.5 + 0.1 * generation
            counts = {"real": 60, "synthetic": 40, "private": 30, "public": 30, "from_a": 10, "from_b": 30}
            lines.append(
                {
                    "generation": generation,
                    "model": model,
                    "counts": counts,
                    "metrics": metrics,
                    "seconds": {},
                    "status": "ok",
                    "keys": {},
                    "features": {},
                }
            )
    (folder / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_the_headline_says_that_its_number_is_a_mean_of_models(tmp_path: Path) -> None:
    write(tmp_path / "runs" / "one")
    sentence = headline(collect([tmp_path]))[0]
    assert re.match(r"Perplexity on \w+ prompts, mean of 2 models, (fell|changed|rose) ", sentence), sentence


def test_a_row_of_tiles_is_a_member_and_a_domain(tmp_path: Path) -> None:
    write(tmp_path / "runs" / "one")
    section = members.section(collect([tmp_path]))
    assert section is not None
    knowledge, likeness = section.plots
    texts = re.findall(r">([^<>]+)</text>", knowledge.inline)
    assert [text for text in texts if "·" in text] == ["b · speeches", "b · novels", "a · speeches", "a · novels"]
    assert {"300", "75", "200", "50", "30", "20"} <= set(texts)  # the values of the first and the last generation
    assert "b, a · novels" in re.findall(r">([^<>]+)</text>", likeness.inline)


def test_a_row_of_coverages_is_a_member_and_a_class(tmp_path: Path) -> None:
    folder = write(tmp_path / "runs" / "one")
    recalls = {f"{subset}/pixels/group_coverage_{digit}": 0.1 * digit for subset, digit in (("low", 2), ("high", 10))}
    recalls["low/pixels/group_coverage_1"] = 0.1
    lines = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    lines = [{**line, "metrics": {**line["metrics"], **recalls}} for line in lines]
    (folder / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    section = members.section(collect([tmp_path]))
    assert section is not None
    reached = section.plots[1]
    texts = re.findall(r">([^<>]+)</text>", reached.inline)
    expected = [f"{member} · {digit}" for member in "ba" for digit in (2, 1, 10)]
    assert [text for text in texts if "·" in text] == expected
    assert {"0.1", "0.2", "1"} <= set(texts)


def test_a_run_of_one_model_has_neither(tmp_path: Path) -> None:
    write(tmp_path / "runs" / "one", models=("a",))
    collection = collect([tmp_path])
    assert members.section(collection) is None
    assert flow.section(collection) is None


def test_the_page_has_both_sections(tmp_path: Path) -> None:
    for ratio in (0.0, 0.5):
        write(tmp_path / "runs" / f"r{ratio}", ratio=ratio)
    page = write_report([tmp_path / "runs"], tmp_path / "report.html").read_text()
    assert page.index("Who knows what") < page.index("Who learns from whom")
