"""Members of a population are compared with each other, each pair once a generation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from collapse_lab.config.binding import bind
from collapse_lab.engine.checks import check_run
from collapse_lab.engine.lab import Lab
from collapse_lab.engine.payloads import samples_of
from collapse_lab.errors import UserError
from collapse_lab.features.pixels import Pixels
from collapse_lab.metrics.similarity import Similarity
from tests.standins import Chain, path_of

THREE = {"a": {"mark": 10}, "b": {"mark": 20}, "c": {"mark": 30}}


@dataclass
class Compared(Chain):
    """Measure how alike the members are, beside FID."""

    def lab(self) -> Lab:
        lab, node = super().lab(), {"_target_": path_of(Similarity), "bootstrap": 3}
        return replace(lab, metrics={**lab.metrics, "similarity": (Similarity(bootstrap=3), bind(node, "similarity"))})


def names(chain: Chain, generation: int, model: str) -> list[str]:
    (record,) = [r for r in chain.records if (r.generation, r.model) == (generation, model)]
    return sorted(name for name in record.metrics if "similarity" in name and not name.endswith(("_lo", "_hi")))


def test_a_line_has_the_similarity_to_each_member_before_its_own(tmp_path: Path) -> None:
    chain = Compared(tmp_path, members=THREE, generations=1)
    assert chain.run() == "ok"
    for generation in (0, 1):
        assert names(chain, generation, "a") == []
        assert names(chain, generation, "b") == ["all/pixels/similarity_a"]
        assert names(chain, generation, "c") == ["all/pixels/similarity_a", "all/pixels/similarity_b"]


def test_samples_are_paired_by_their_prompts(tmp_path: Path) -> None:
    chain = Compared(tmp_path, members={"a": {"mark": 10}, "b": {"mark": 20}}, generations=0)
    chain.run()
    (steps,) = chain.plan()
    space = Pixels(chain.lab().dataset.spec, size=2)
    first, second = (space.extract(samples_of(step.samples["all"].value())).values for step in steps)
    expected = float(torch.cosine_similarity(first.double(), second.double()).mean())
    assert chain.records[1].metrics["all/pixels/similarity_a"] == pytest.approx(expected, abs=1e-9)


def test_a_run_that_goes_on_between_two_members_compares_them_as_well(tmp_path: Path) -> None:
    whole, cut = (Compared(tmp_path / name, members=THREE, generations=1) for name in ("whole", "cut"))
    whole.run()
    cut.run()
    path = cut.folder / "ledger.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:4]))
    cut.run()
    assert cut.records == whole.records


def test_a_population_of_one_has_nobody_to_be_compared_with(tmp_path: Path) -> None:
    lab = Compared(tmp_path).lab()
    with pytest.raises(UserError, match=r"metrics.similarity compares the members .* and there is one: leave it out"):
        check_run(lab, {})
