"""Files of generated texts: prompts, continuations and histograms, of a bounded size."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from collapse_lab.engine.excerpts import EXAMPLES, LIMIT, LONGEST, histogram, shortened, write_excerpts
from collapse_lab.prompts import Continuation, Everything
from collapse_lab.types import Conditions, RealData, Rows, Samples, Spec, Tokens
from tests.standins import Chain


def decoded(rows: torch.Tensor) -> list[str]:
    return [" ".join(f"w{token}" for token in row) for row in rows.tolist()]


class Texts:
    """Provide twenty blocks that count upwards."""

    key = "texts"
    spec = Spec("tokens", (4,), tokens=Tokens(100, "identity", decoded))

    def load(self) -> RealData:
        rows = Samples(torch.arange(80).reshape(20, 4), np.full(20, -1))
        return RealData(rows, rows)


def written(path: Path, samples: Samples, prompts: Any = None, **kept: np.ndarray) -> dict[str, Any]:
    lab = Chain(path.parent).lab()
    sets = replace(lab.prompts, sets={"all": prompts or Continuation()})
    write_excerpts(path, replace(lab, dataset=Texts(), prompts=sets), "all", samples, kept)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def test_examples_are_the_first_prompts_beside_their_continuations(tmp_path: Path) -> None:
    samples = Samples(torch.arange(100, 180).reshape(20, 4), np.full(20, -1))
    examples = written(tmp_path / "a" / "g.json", samples)["examples"]
    assert len(examples) == EXAMPLES
    assert examples[1] == {"prompt": "w4 w5 w6 w7", "text": "w104 w105 w106 w107"}
    fewer = written(tmp_path / "few.json", samples.take(np.arange(3)))["examples"]
    assert fewer == examples[:3]


def test_samples_that_continue_nothing_have_empty_prompts(tmp_path: Path) -> None:
    class Plain(Everything):
        def conditions(self, n: int, train: Samples[Rows], spec: Spec) -> Conditions:
            return Conditions(np.full(n, -1), train.captions)

    samples = Samples(torch.arange(8).reshape(2, 4), np.full(2, -1))
    assert [e["prompt"] for e in written(tmp_path / "g.json", samples, Plain())["examples"]] == ["", ""]


def test_a_histogram_counts_every_value_in_eighths_of_an_octave(tmp_path: Path) -> None:
    values = np.exp(np.random.default_rng(0).normal(4, 1, 5000))
    kept = written(tmp_path / "g.json", Samples(torch.zeros(2, 4, dtype=torch.int64), np.full(2, -1)), p=values)
    counts = {int(number): count for number, count in kept["histograms"]["p"].items()}
    edges = 2 ** (np.arange(min(counts), max(counts) + 2) / 8)
    expected = np.histogram(values, edges)[0]
    assert [counts.get(number, 0) for number in range(min(counts), max(counts) + 1)] == expected.tolist()
    assert list(counts) == sorted(counts)


def test_values_beyond_the_limits_are_counted_at_them() -> None:
    assert histogram(np.array([np.inf, LIMIT, 1.0, 1e-300])) == {"-512": 1, "0": 1, "512": 2}


@pytest.mark.parametrize(("length", "expected"), [(LONGEST, LONGEST), (LONGEST + 1, LONGEST), (10**6, LONGEST)])
def test_long_texts_are_cut(length: int, expected: int) -> None:
    (text,) = shortened(["x" * length])
    assert len(text) == expected
    assert text.endswith("…") == (length > LONGEST)
