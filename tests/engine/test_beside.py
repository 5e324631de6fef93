"""Real images beside the grids, and the prompts of both."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from collapse_lab import compose, prepare
from collapse_lab.engine.beside import COLUMNS, matched, prompts_of, write_beside
from collapse_lab.engine.payloads import samples_of
from collapse_lab.images import grid
from collapse_lab.types import Samples
from tests.models.cases import DATA

LINE = ["+experiment=nepotistic", "+scale=tiny", "generations=0", "features=[]", "metrics=[]", "sinks=[]"]
LINE += ["n_train=32", "n_samples=16", "trainer.steps=1", "device=cpu"]


def test_each_place_gets_a_real_row_of_its_prompt_in_the_order_of_the_rows() -> None:
    real = ["one", "two", "one", "two", "one"]
    assert matched(real, ["one", "two", "one", "one", "one", "three", "two"]).tolist() == [0, 1, 2, 4, 0, 0, 3]


def test_a_prompt_is_the_caption_or_else_the_class() -> None:
    data = DATA.load().train.take(np.arange(3))
    assert prompts_of(data, DATA.spec) == list(data.captions.texts())
    bare = Samples(data.data, np.asarray([0, 2, -1]))
    assert prompts_of(bare, DATA.spec) == [DATA.spec.classes[0], DATA.spec.classes[2], ""]


@pytest.mark.usefixtures("real_pages")
def test_a_run_has_real_images_of_the_prompts_of_its_grids(tmp_path: Path) -> None:
    paths = [f"paths.{name}={tmp_path / name}" for name in ("runs", "store")]
    experiment = prepare(compose(*LINE, *paths))
    folder = experiment.run().folder
    lab, steps = experiment.layout.lab, experiment.layout.plan[0][0]
    assert sorted(path.name for path in (folder / "real").iterdir()) == [
        f"{subset}.{ending}" for subset in ("seen", "unseen") for ending in ("json", "png")
    ]
    for subset, stage in steps.grids.items():
        shown = samples_of(stage.value())
        words = json.loads((folder / "real" / f"{subset}.json").read_text())
        assert words == {"columns": COLUMNS, "prompts": list(shown.captions.texts())}
        drawn = np.asarray(Image.open(folder / "real" / f"{subset}.png"))
        assert drawn.shape == np.asarray(Image.open(folder / "grids" / subset / "model-g000.png")).shape
        train = lab.real.train
        first = next(i for i, text in enumerate(train.captions.texts()) if text == words["prompts"][0])
        alone = np.asarray(grid(train.take(np.asarray([first])).gathered().data))
        assert (drawn[: alone.shape[0], : alone.shape[1]] == alone).all()
    before = (folder / "real" / "seen.png").stat().st_mtime_ns
    write_beside(folder, lab, "seen", samples_of(steps.grids["seen"].value()))
    assert (folder / "real" / "seen.png").stat().st_mtime_ns == before
    page = (folder / "report.html").read_text()
    assert page.count("<figcaption>real images</figcaption>") == 2
    assert f"Prompts, row by row: {words['prompts'][0]}" in page
