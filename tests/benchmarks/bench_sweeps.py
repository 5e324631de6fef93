"""What a sweep of many cells costs beside its computing: `collapse-lab status` of 1,000 cells."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from collapse_lab.cli.sweep import Cell, name_run, queue
from collapse_lab.config.composing import compose
from collapse_lab.config.signature import canonical
from collapse_lab.storage.formats import FORMAT, MARK
from tests.report.run_folders import write_run

CELLS = 1000


def write_cells(root: Path, cells: int) -> None:
    """Write a sweep whose cells have the ledgers of a real run, with all its metrics, and a real configuration."""
    from omegaconf import OmegaConf

    model = write_run(root / "model", grids=False)
    whole = write_run(root / "whole", texts=False)
    shutil.copy(whole / "ledger.jsonl", model / "ledger.jsonl")
    plain = canonical(compose("+experiment=nepotistic").cfg)
    (model / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create({MARK: FORMAT, **plain})))
    shutil.rmtree(whole)
    sweep = root / "sweeps" / "a1b2"
    queue(sweep, 0, [["+experiment=nepotistic", f"seed={number}"] for number in range(cells)])
    for number in range(cells):
        cell = Cell(sweep, number, ("+experiment=nepotistic", f"seed={number}"))
        cell.begin()
        name_run(cell, Path(shutil.copytree(model, root / "nepotistic" / f"s{number}")))
        cell.finish("ok")
    shutil.rmtree(model)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        write_cells(Path(name), CELLS)
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-m", "collapse_lab", "status", name], check=True, capture_output=True)
        taken = time.perf_counter() - begun
        begun = time.perf_counter()
        for ledger in Path(name).glob("nepotistic/*/ledger.jsonl"):
            ledger.read_bytes()
        read = time.perf_counter() - begun
    print(f"status of {CELLS} cells {taken:.1f} s; to read their ledgers alone takes {read:.2f} s")


if __name__ == "__main__":
    main()
