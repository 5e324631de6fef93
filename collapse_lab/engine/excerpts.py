"""Write what a generation of texts reads like: examples, and histograms of the perplexity of single texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from collapse_lab.engine.lab import Lab
from collapse_lab.storage.files import make_folder, write_whole
from collapse_lab.storage.formats import PER_OCTAVE
from collapse_lab.types import Samples

EXAMPLES = 8  # texts of a file: the continuations of the first prompts, which are the same in every generation
LONGEST = 2000  # characters of a text
LIMIT = 2.0**64  # values above it are counted as this value


def write_excerpts(path: Path, lab: Lab, subset: str, samples: Samples, kept: Mapping[str, np.ndarray]) -> None:
    """Write the file of one generation: the size is bounded, however many texts there are.

    `examples` holds the first texts beside the prompts that they continue. `histograms` holds, for each name of
    `kept`, the number of values v with floor(8 log2 v) = bin.

    Args:
        path: the file.
        lab: what the run is made of.
        subset: the prompt set.
        samples: the generated texts, as tokens.
        kept: name -> a positive number for each text, (n,).
    """
    tokens, context = lab.dataset.spec.tokens, lab.conditions(subset, len(samples)).context
    assert tokens is not None
    texts = shortened(tokens.decode(samples.data[:EXAMPLES]))
    prompts = [""] * len(texts) if context is None else shortened(tokens.decode(context[:EXAMPLES]))
    content: dict[str, Any] = {
        "examples": [{"prompt": prompt, "text": text} for prompt, text in zip(prompts, texts, strict=True)],
        "histograms": {name: histogram(values) for name, values in kept.items()},
    }
    make_folder(path.parent, "paths.runs")
    write_whole(path, json.dumps(content, indent=1))


def histogram(values: np.ndarray) -> dict[str, int]:
    """Return bin -> number of values, of the bins that hold any, in rising order.

    Args:
        values: positive numbers, (n,).
    """
    bins = np.floor(PER_OCTAVE * np.log2(np.clip(values, 1 / LIMIT, LIMIT))).astype(int)
    numbers, counts = np.unique(bins, return_counts=True)
    return {str(number): int(count) for number, count in zip(numbers, counts, strict=True)}


def shortened(texts: Sequence[str]) -> list[str]:
    """Return the texts, cut after `LONGEST` characters, with an ellipsis where something is missing."""
    return [text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…" for text in texts]
