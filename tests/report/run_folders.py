"""Run folders with invented, realistic numbers: FID rises with dose and generation, and recall falls."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from collapse_lab.storage.formats import FORMAT, MARK
from collapse_lab.storage.ledger import Ledger
from collapse_lab.types import Record

BOUNDED = {
    "precision": (0.82, 0.10),
    "recall": (0.78, -0.62),
    "coverage": (0.86, -0.5),
    "agreement": (0.97, -0.3),
}
FLOOR = {"fid": 7.1, "kid": 0.0002, "precision": 0.86, "recall": 0.86, "density": 1.0, "coverage": 0.95}

PERCENT = {"01": -2.33, "05": -1.64, "25": -0.67, "50": 0.0, "75": 0.67, "95": 1.64, "99": 2.33}

FEW = re.compile("seen/classifier/(fid|recall|agreement)|unseen/classifier/fid|seen/pixels/fid")
WORDS = ["zero", "one", "two", "three", "four"]


def metrics(generation: int, ratio: float, rng: np.random.Generator) -> dict[str, float]:
    values: dict[str, float] = {}

    def put(name: str, value: float, spread: float) -> None:
        values[name] = value
        values[f"{name}_lo"], values[f"{name}_hi"] = value - spread, value + spread
        if name.rpartition("/")[2] in FLOOR:
            values[f"{name}_floor"] = FLOOR[name.rpartition("/")[2]]

    harm = ratio * (1 - np.exp(-0.35 * generation))
    for subset, worse in (("seen", 1.0), ("unseen", 1.35)):
        for features, scale in (("classifier", 1.0), ("pixels", 0.4)):
            prefix = f"{subset}/{features}"
            fid = scale * (24 + 130 * worse * harm + 0.6 * generation) * (1 + 0.04 * rng.normal())
            put(f"{prefix}/fid", fid, 0.06 * fid)
            put(f"{prefix}/kid", fid / 900, 0.004)
            put(f"{prefix}/density", 0.9 + 0.4 * harm, 0.05)
            for name, (start, change) in BOUNDED.items():
                if name != "agreement" or features == "classifier":
                    value = start + change * worse * harm * 0.7 + 0.012 * rng.normal()
                    put(f"{prefix}/{name}", float(np.clip(value, 0, 1)), 0.02)
    values["all/parameter_variance"] = 0.3 - 0.1 * harm
    return {name: float(value) for name, value in values.items()}


def class_shares(generation: int, ratio: float) -> dict[str, float]:
    """Return the shares of classes 0 to 4: equal at first; the later classes disappear over the generations."""
    weights = np.exp(-0.4 * ratio * generation * np.arange(5))
    values: dict[str, float] = {}
    for k, share in enumerate(weights / weights.sum()):
        name = f"seen/classifier/class_share_{k}"
        values |= {name: share, f"{name}_lo": max(0.0, share - 0.03), f"{name}_hi": share + 0.03, f"{name}_floor": 0.2}
    return {name: float(value) for name, value in values.items()}


def perplexities(generation: int, ratio: float) -> dict[str, float]:
    """Return the perplexities of a language model that forgets real text.

    Its generated text becomes more probable, and the tail of improbable text becomes longer.
    """
    harm = ratio * (1 - np.exp(-0.5 * generation))
    values = {
        "all/perplexity": 34 + 18 * harm,
        "all/perplexity_lo": 33 + 18 * harm,
        "all/perplexity_hi": 35 + 18 * harm,
    }
    for percent, z in PERCENT.items():
        name = f"all/generated_perplexity_q{percent}"
        tail = 1 + 0.9 * harm * max(z, 0)
        values |= {name: 22 * np.exp(-0.6 * harm + 0.45 * z * tail), f"{name}_floor": 32 * np.exp(0.5 * z)}
    return {name: float(value) for name, value in values.items()}


def grid(path: Path, generation: int, ratio: float, rng: np.random.Generator) -> None:
    rows, columns, side = 4, 6, 8
    image = np.zeros((rows * (side + 1) + 1, columns * (side + 1) + 1), np.uint8)
    blur = np.hypot(*np.meshgrid(np.arange(side) - 3.5, np.arange(side) - 3.5))
    for r in range(rows):
        for c in range(columns):
            radius = 2.4 + (1 - 0.18 * ratio * generation) * (0.9 * np.sin(r * 2.1 + c))
            tile = 235 * np.exp(-((blur - radius) ** 2)) + 6 * generation * rng.random((side, side))
            image[r * 9 + 1 : r * 9 + 9, c * 9 + 1 : c * 9 + 9] = np.clip(tile, 0, 255)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def write_run(
    folder: Path,
    ratio: float = 1.0,
    seed: int = 0,
    generations: int = 5,
    last: int | None = None,
    status: str = "ok",
    models: tuple[str, ...] = ("model",),
    weights: str = "1f2e3d",
    classes: bool = False,
    texts: bool = False,
    grids: bool = True,
    **settings: Any,
) -> Path:
    """Write a run folder as the engine leaves it.

    Args:
        folder: The run folder, which must not exist.
        ratio: The dose.
        seed: The seed.
        generations: The planned number of generations.
        last: The last generation in the ledger; None takes the planned one.
        status: The status of the last generation.
        models: The names of the models.
        weights: The fingerprint of the extractor's weights.
        classes: Whether it has class shares.
        texts: Whether it is the run of a language model, which has perplexities and no other metrics.
        grids: Whether it has grids of samples. Without them it has few metrics too, so that its page is made quickly.
        **settings: Further settings of the configuration.

    Returns:
        `folder`.
    """
    folder.mkdir(parents=True)
    config = {
        "name": "nepotistic",
        "seed": seed,
        "generations": generations,
        "ratio": ratio,
        "n_train": 1000,
        "mixing": {"_target_": "collapse_lab.mixing.Contaminate", "ratio": ratio},
        "paths": {"runs": "/somewhere/private"},
        **settings,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump({MARK: FORMAT, **config}, sort_keys=False))
    rng = np.random.default_rng([seed, round(ratio * 1000)])
    ledger = Ledger(folder / "ledger.jsonl")
    end = generations if last is None else last
    features = {"extractor": "cnn", "weights": weights, "n": 500, "dtype": "float32", "classes": WORDS}
    for generation in range(end + 1):
        synthetic = round(1000 * ratio) if generation else 0
        for model in models:
            ledger.append(
                Record(
                    generation,
                    model,
                    {"real": 1000 - synthetic, "synthetic": synthetic},
                    perplexities(generation, ratio)
                    if texts
                    else {k: v for k, v in metrics(generation, ratio, rng).items() if grids or FEW.match(k)}
                    | (class_shares(generation, ratio) if classes else {}),
                    {"fit": 12.5, "sample": 4.0, "measure": 1.5},
                    "diverged" if status == "diverged" and generation == end else "ok",
                    {"fit": f"fit-{generation}", "sample": f"sample-{generation}"},
                    {"classifier": features},
                )
            )
            for subset in ("seen", "unseen") if grids else ():
                grid(folder / "grids" / subset / f"{model}-g{generation:03d}.png", generation, ratio, rng)
    # Tests edit these lines, and a line without a sum, as format 1 wrote it, may be edited
    ledger.path.write_text(re.sub(r', "sum": "[0-9a-f]{16}"', "", ledger.path.read_text()))
    return folder


def write_sweep(root: Path, ratios: tuple[float, ...] = (0, 0.005, 0.1, 0.5, 1), seeds: int = 3) -> Path:
    for ratio in ratios:
        for seed in range(seeds):
            write_run(root / f"r{ratio}-s{seed}", ratio, seed)
    return root


def write_plane(root: Path, ratios: tuple[float, ...] = (0, 0.1, 1), scales: tuple[float, ...] = (1, 4)) -> Path:
    """Write a sweep over two settings, two seeds each, without grids of samples."""
    for ratio in ratios:
        for scale in scales:
            for seed in range(2):
                folder = root / f"r{ratio}-w{scale}-s{seed}"
                write_run(folder, ratio, seed, 2, grids=False, classes=True, model={"guidance_scale": scale})
    return root
