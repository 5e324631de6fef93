"""Fit Stable Diffusion to folders of pictures, and print the peak of memory of each phase beyond mapped files.

`python -m tests.memory.latents FOLDER ROWS …`: as `tests.memory.child`, the fit of generation 0 alone. The latents of a
picture take 2.7 times the room of its pixels.
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path

from collapse_lab import compose
from collapse_lab.config.building import build
from collapse_lab.engine.executor import Alone
from collapse_lab.engine.run import lay_out
from tests.memory.child import SIDE, Meter, write_pictures
from tests.models.tiny_pipelines import write_pipeline

ARGUMENTS = [
    "+experiment=nepotistic_faces",
    f"dataset.image_size={SIDE}",
    "dataset.caption_column=null",
    "dataset.label_column=kind",
    "dataset.templates=['a hand {}']",
    "prompts=all",
    "model.encoding_batch=32",
    "model.strength=1",
    "trainer.steps=10",
    "trainer.batch_size=2",
    "n_samples=2",
    "features=[]",
    "metrics=[]",
    "sinks=[]",
    "generations=0",
    "device=cpu",
]


def fit(folder: Path, rows: int, pipeline: Path) -> None:
    """Fit generation 0 to half of so many rows, and print its peaks in bytes and its seconds."""
    write_pictures(folder / "pictures", rows)
    places = [f"dataset.root={folder / 'pictures'}", f"paths.runs={folder / 'runs'}", f"paths.data={folder / 'data'}"]
    meter = Meter()
    more = [f"model.pretrained={pipeline}", f"n_train={rows // 2}"]
    lab = build(compose(*ARGUMENTS, *places, *more).cfg, Alone())
    layout = lay_out(lab, meter)
    lab.store.open()
    layout.plan[0][0].fit.value().sound()
    meter.end()
    print(json.dumps({"rows": rows, "peaks": meter.peaks, "seconds": meter.seconds}), flush=True)


def main(folder: str, *rows: str) -> None:
    pipeline = write_pipeline(Path(folder) / "sd")
    for number in map(int, rows):
        fit(Path(folder) / str(number), number, pipeline)
        gc.collect()


if __name__ == "__main__":
    main(*sys.argv[1:])
