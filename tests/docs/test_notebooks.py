"""The notebooks of the documentation run from their first cell to their last, in an empty folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from tests.docs.pages import DOCS

NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cells are plain Python, so they run without Jupyter."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names: dict[str, Any] = {"__name__": "__main__"}
    plt.close("all")
    for number, cell in enumerate(cells(path)):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{path.name}, cell {number}", "exec"), names)
    assert plt.get_fignums(), "each notebook draws something"
    plt.close("all")
    assert (tmp_path / "runs").is_dir()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_its_outputs(path: Path) -> None:
    assert cells(path)[0]["cell_type"] == "markdown"
    for cell in cells(path):
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


def cells(path: Path) -> list[dict[str, Any]]:
    """Return the cells of a notebook of format 4."""
    notebook = json.loads(path.read_text())
    assert notebook["nbformat"] == 4
    return list(notebook["cells"])
