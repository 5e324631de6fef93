"""Small files in the layouts of the real archives."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from collapse_lab.datasets.emoji import NAMES, PICTURES


def write_idx(path: Path, array: np.ndarray) -> None:
    raw = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


def write_mnist(folder: Path, n: int = 40, tests: int = 20, suffix: str = "") -> dict[str, np.ndarray]:
    """Pictures that hold their own row number, so that a wrong order shows."""
    written = {}
    for part, size, start in (("train", n, 0), ("t10k", tests, n)):
        images = np.zeros((size, 28, 28), np.uint8)
        images[:, 3, 5] = np.arange(start, start + size)
        labels = (np.arange(start, start + size) % 10).astype(np.uint8)
        write_idx(folder / f"{part}-images-idx3-ubyte{suffix}", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte{suffix}", labels)
        written[part] = labels
    return written


def cifar_pictures(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)


def write_cifar_png(folder: Path, n: int = 10) -> None:
    for i, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]):
        rows = cifar_pictures(n, i).transpose(0, 2, 3, 1).reshape(n, 1024, 3)
        Image.fromarray(rows).save(folder / f"{name}.png")
    (folder / "train_lables.json").write_text(json.dumps([i % 10 for i in range(5 * n)]))
    (folder / "test_lables.json").write_text(json.dumps([i % 10 for i in range(n)]))


def write_cifar_binary(folder: Path, n: int = 10) -> None:
    for i, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]):
        labels = (np.arange(n) % 10).astype(np.uint8)[:, None]
        records = np.concatenate([labels, cifar_pictures(n, i).reshape(n, -1)], axis=1)
        (folder / f"{name}.bin").write_bytes(records.tobytes())


def write_tar(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, raw in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))


def encoded(colour: tuple[int, ...], mode: str = "RGB", form: str = "PNG", side: int = 16) -> bytes:
    sink = io.BytesIO()
    options = {"lossless": True} if form == "WEBP" else {}
    Image.new(mode, (side, side), colour).save(sink, form, **options)
    return sink.getvalue()


def write_emoji(folder: Path) -> None:
    """Four named pictures (the first transparent), a variant by skin tone, and one of no group."""
    rows = [
        {"label": "red apple", "hexcode": "1F34E", "group": 4, "skins": []},
        {"label": "keycap: #", "hexcode": "0023-FE0F-20E3", "group": 8},
        {"label": "flag: Chad", "hexcode": "1F1F9-1F1E9", "group": 9},
        {"label": "ear", "hexcode": "1F442", "group": 1, "skins": [{"hexcode": "1F442-1F3FB"}]},
        {"label": "regional indicator A", "hexcode": "1F1E6"},
    ]
    write_tar(folder / NAMES, {"package/en/data.json": json.dumps(rows).encode()})
    pictures = {
        "1f34e": (255, 0, 0, 0),
        "0023-fe0f-20e3": (0, 0, 255, 255),
        "1f1f9-1f1e9": (0, 255, 0, 255),
        "1f442": (10, 20, 30, 255),
        "1f442-1f3fb": (1, 1, 1, 255),
        "1f1e6": (2, 2, 2, 255),
    }
    files = {f"package/assets/{name}.webp": encoded(c, "RGBA", "WEBP") for name, c in pictures.items()}
    write_tar(folder / PICTURES, files)
