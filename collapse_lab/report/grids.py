"""The sample grids: the same latents and prompts in every generation, side by side."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from collapse_lab.report.section import Section
from collapse_lab.results.collect import Collection, Run
from collapse_lab.results.series import evenly

MOST_ROWS = 8
MOST_GENERATIONS = 8
_FILE = re.compile(r"(?P<model>.+)-g(?P<generation>\d+)\.png")


@dataclass(frozen=True)
class Row:
    """A label and the grids of some generations, each as (generation, data: URI)."""

    label: str
    images: list[tuple[int, str]]

    @property
    def generations(self) -> list[int]:
        """Those that are shown."""
        return [generation for generation, _ in self.images]


def section(collection: Collection) -> Section | None:
    """None where no run has a grid. A sweep shows one row per cell, of its first seed."""
    subsets = sorted({p.name for run in collection.runs for p in (run.folder / "grids").glob("*") if p.is_dir()})
    parts = [(subset, rows) for subset in subsets if (rows := _rows(collection, subset))]
    if not parts:
        return None
    note = "The same latents and prompts in every generation: what changes is the model."
    if len(collection.cells) > 1:
        note += f" One row per cell, of its first seed (at most {MOST_ROWS} cells)."
    return Section("Samples", "grids.html.j2", {"parts": parts}, note)


def _rows(collection: Collection, subset: str) -> list[Row]:
    if len(collection.cells) == 1:
        run = collection.cells[0].runs[0]
        models = sorted(
            {m["model"] for p in (run.folder / "grids" / subset).iterdir() if (m := _FILE.fullmatch(p.name))}
        )
        rows = [Row(model if len(models) > 1 else "", _images(run, subset, model)) for model in models]
    else:
        cells = [collection.cells[i] for i in evenly(len(collection.cells), MOST_ROWS)]
        rows = [Row(cell.label, _images(cell.runs[0], subset, None)) for cell in cells]
    return [row for row in rows if row.images]


def _images(run: Run, subset: str, model: str | None) -> list[tuple[int, str]]:
    """The grids of `model`, None being the first one by name."""
    folder = run.folder / "grids" / subset
    found = [(m, p) for p in sorted(folder.glob("*.png")) if (m := _FILE.fullmatch(p.name))]
    model = model or min((m["model"] for m, _ in found), default="")
    of_model = sorted((int(m["generation"]), p) for m, p in found if m["model"] == model)
    return [(of_model[i][0], _uri(of_model[i][1])) for i in evenly(len(of_model), MOST_GENERATIONS)]


def _uri(path: Path) -> str:
    return "data:image/png;base64," + b64encode(path.read_bytes()).decode()
