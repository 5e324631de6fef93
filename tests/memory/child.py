"""Run small experiments on folders of pictures, and print the peak of memory of each phase beyond mapped files.

`python -m tests.memory.child FOLDER ROWS … [OVERRIDE …]`: for each number of rows, so many pictures of 64x64x3 are
written to FOLDER, and one run of two generations decodes, loads, plans, fits, samples and measures them. A line of JSON
is printed for each. RssAnon is memory that the process holds by itself: neither mapped files nor the page cache, which
the system takes back when it needs the room. A first run of few rows shows what the libraries hold.
"""

from __future__ import annotations

import csv
import gc
import json
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from collapse_lab import compose
from collapse_lab.config.building import build
from collapse_lab.engine.executor import Alone
from collapse_lab.engine.loop import Loop
from collapse_lab.engine.run import lay_out
from collapse_lab.engine.silent import Silent
from collapse_lab.storage.ledger import Ledger

SIDE = 64
ARGUMENTS = [
    "+experiment=recursive_vae",
    "dataset=imagefolder",
    f"dataset.image_size={SIDE}",
    "dataset.caption_column=null",
    "dataset.label_column=kind",
    "model.channels=4",
    "model.latent=2",
    "trainer.epochs=null",
    "trainer.steps=2",
    "trainer.finetune_steps=2",
    "features=[pixels]",
    "features.pixels.size=2",
    "metrics=[fid]",
    "metrics.fid.bootstrap=2",
    "probes=[]",
    "sinks=[]",
    "mixing=contaminate",
    "ratio=0.1",
    "generations=1",
    "device=cpu",
]


def write_pictures(folder: Path, rows: int) -> None:
    """Write pictures of one colour and a little noise, uncompressed because that is quickest."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 32, (SIDE, SIDE, 3), np.uint8)
    with (folder / "metadata.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "kind"])
        for row in range(rows):
            shift = np.uint8(row % 200)
            Image.fromarray(np.roll(noise, row, axis=1) + shift).save(folder / f"{row}.bmp")
            table.writerow([f"{row}.bmp", row % 2])


def anonymous() -> int:
    """Return RssAnon of this process, in bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


class Meter(Silent):
    """Note the peak of RssAnon in each phase, which reports of progress name."""

    def __init__(self) -> None:
        self.peaks: defaultdict[str, int] = defaultdict(int)
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.phase, self._since = "load", time.perf_counter()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def begin(self, phase: str) -> None:
        """Enter a phase."""
        now = time.perf_counter()
        self.seconds[self.phase] += now - self._since
        self.phase, self._since = phase, now

    def start(self, generation: int, model: str, phase: str, total: int) -> None:
        """Enter the phase that a report names."""
        self.begin(phase)

    def stop(self) -> None:
        """Enter what follows the phase."""
        self.begin(f"after {self.phase}")

    def end(self) -> None:
        """Stop the thread."""
        self.begin("end")
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.005):
            self.peaks[self.phase] = max(self.peaks[self.phase], anonymous())


def run(folder: Path, rows: int, overrides: list[str]) -> None:
    """Run the experiment on so many rows, and print its peaks in bytes and its seconds."""
    write_pictures(folder / "pictures", rows)
    places = [f"dataset.root={folder / 'pictures'}", f"paths.runs={folder / 'runs'}", f"paths.data={folder / 'data'}"]
    sizes = [f"n_train={rows // 2}", f"n_samples={min(rows, max(300, rows // 10))}"]
    meter = Meter()
    lab = build(compose(*ARGUMENTS, *places, *sizes, *overrides).cfg, Alone())
    meter.begin("plan")
    layout = lay_out(lab, meter)
    lab.store.open()
    meter.begin("real features")
    ledger = Ledger(folder / "ledger.jsonl")
    status = Loop(lab, layout.work, layout.ruler, ledger, [], folder).run(layout.plan)
    meter.end()
    print(json.dumps({"rows": rows, "status": status, "peaks": meter.peaks, "seconds": meter.seconds}), flush=True)


def main(folder: str, *arguments: str) -> None:
    overrides = [argument for argument in arguments if "=" in argument]
    for rows in (int(argument) for argument in arguments if argument.isdigit()):
        run(Path(folder) / str(rows), rows, overrides)
        gc.collect()


if __name__ == "__main__":
    main(*sys.argv[1:])
