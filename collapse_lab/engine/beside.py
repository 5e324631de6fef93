"""Write what a reader sees beside the grids of generated images: real images of the same prompts, and the prompts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from collapse_lab.engine.lab import Lab
from collapse_lab.images import grid
from collapse_lab.storage.files import make_folder, write_whole
from collapse_lab.types import Rows, Samples, Spec

COLUMNS = 10  # of every grid


def write_beside(folder: Path, lab: Lab, subset: str, shown: Samples) -> None:
    """Write `real/SUBSET.png` and `real/SUBSET.json`, once for each prompt set of a run.

    The picture has a real training image for each generated one of the grid, at the same place and of the same prompt
    where there is one. It is left out where no real row belongs to the prompt set. The file holds `prompts`, the words
    of each place.

    Args:
        folder: the run's folder.
        lab: what the run is made of.
        subset: the prompt set.
        shown: the generated images of a grid.
    """
    words = folder / "real" / f"{subset}.json"
    if words.exists():
        return
    make_folder(words.parent, "paths.runs")
    train = lab.real.train
    rows = np.flatnonzero(lab.prompts.sets[subset].member(train))
    if len(rows):
        chosen = rows[matched(prompts_of(train.take(rows), lab.dataset.spec), prompts_of(shown, lab.dataset.spec))]
        grid(train.take(chosen).gathered().data, columns=COLUMNS).save(words.with_suffix(".png"))
    write_whole(words, json.dumps({"columns": COLUMNS, "prompts": prompts_of(shown, lab.dataset.spec)}, indent=1))


def prompts_of(samples: Samples[Rows], spec: Spec) -> list[str]:
    """Return the caption of each sample, or else the name of its class; "" where it has neither."""
    captions = samples.captions.texts()
    if captions:
        return list(captions)
    return [spec.classes[label] if 0 <= label < len(spec.classes) else "" for label in samples.labels.tolist()]


def matched(real: Sequence[str], shown: Sequence[str]) -> np.ndarray:
    """Return the number of a real row for each prompt that is shown: of the same prompt, and of no other place.

    Rows of a prompt are taken in their order, and again from the first one where there are too few. A prompt that no
    real row has takes the row of its place.

    Args:
        real: the prompt of each real row, 1 or more.
        shown: the prompts.
    """
    of_prompt: dict[str, list[int]] = {}
    for number, prompt in enumerate(real):
        of_prompt.setdefault(prompt, []).append(number)
    taken: Counter[str] = Counter()
    chosen = []
    for place, prompt in enumerate(shown):
        rows = of_prompt.get(prompt)
        chosen.append(place % len(real) if rows is None else rows[taken[prompt] % len(rows)])
        taken[prompt] += 1
    return np.asarray(chosen, np.int64)
