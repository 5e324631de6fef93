"""Grids of samples: the same latents and prompts in every generation, side by side."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from collapse_lab.report.section import Section
from collapse_lab.results.collect import Collection
from collapse_lab.results.run import Run
from collapse_lab.results.series import evenly

MOST_ROWS = 8
MOST_GENERATIONS = 8
MOST_CHARACTERS = 1500  # of the prompts of a grid
_FILE = re.compile(r"(?P<model>.+)-g(?P<generation>\d+)\.png")


@dataclass(frozen=True)
class Row:
    """Hold one row of grids.

    Attributes:
        label: The label of the row; "" where it needs none.
        images: (generation, data: URI) of each grid.
    """

    label: str
    images: list[tuple[int, str]]

    @property
    def generations(self) -> list[int]:
        """Return the generations that are shown."""
        return [generation for generation, _ in self.images]


def section(collection: Collection) -> Section | None:
    """Return the grids of samples; of a sweep, one row for each configuration, of its first seed.

    Args:
        collection: The runs of the page.

    Returns:
        The section; None where no run has a grid.
    """
    names = sorted({p.name for run in collection.runs for p in (run.folder / "grids").glob("*") if p.is_dir()})
    subsets = [
        (name, rows, *_beside([run.folder for run in collection.runs], name))
        for name in names
        if (rows := _rows(collection, name))
    ]
    if not subsets:
        return None
    note = "Every generation has the same latents and prompts, so all that changes is the model."
    if len(collection.seed_groups) > 1:
        note += f" Each row shows the first seed of one configuration (at most {MOST_ROWS} configurations)."
    return Section("Samples", "grids.html.j2", {"subsets": subsets}, note)


def _rows(collection: Collection, subset: str) -> list[Row]:
    groups = collection.seed_groups
    if len(groups) == 1:
        run = groups[0].runs[0]
        names = [path.name for path in (run.folder / "grids" / subset).iterdir()]
        models = sorted({match["model"] for name in names if (match := _FILE.fullmatch(name))})
        rows = [Row(model if len(models) > 1 else "", _images(run, subset, model)) for model in models]
    else:
        shown = [groups[i] for i in evenly(len(groups), MOST_ROWS)]
        rows = [Row(group.label, _images(group.runs[0], subset, None)) for group in shown]
    return [row for row in rows if row.images]


def _images(run: Run, subset: str, model: str | None) -> list[tuple[int, str]]:
    """Return the grids of `model`; None takes the first model by name."""
    folder = run.folder / "grids" / subset
    files = [(match, path) for path in sorted(folder.glob("*.png")) if (match := _FILE.fullmatch(path.name))]
    model = model or min((match["model"] for match, _ in files), default="")
    of_model = sorted((int(match["generation"]), path) for match, path in files if match["model"] == model)
    return [(of_model[i][0], _data_uri(of_model[i][1])) for i in evenly(len(of_model), MOST_GENERATIONS)]


def _beside(folders: Sequence[Path], subset: str) -> tuple[str, str]:
    """Return real images as a data: URI and the prompts of all places in words; "" for what no run has."""
    real = next((path for folder in folders if (path := folder / "real" / f"{subset}.png").exists()), None)
    words = next((path for folder in folders if (path := folder / "real" / f"{subset}.json").exists()), None)
    prompts = [] if words is None else json.loads(words.read_text())["prompts"]
    return ("" if real is None else _data_uri(real), in_words(prompts))


def in_words(prompts: Sequence[str]) -> str:
    """Return the prompts in their order, those that follow each other once with their number; cut where it is long."""
    counted = [(prompt, len(list(same))) for prompt, same in groupby(prompts) if prompt]
    text = ", ".join(prompt if n == 1 else f"{prompt} ({n})" for prompt, n in counted)
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + b64encode(path.read_bytes()).decode()
