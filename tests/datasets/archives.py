"""Writers of small files in the layouts of the published archives."""

import gzip
import io
import json
import struct
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

from collapse_lab.datasets.cub200 import CUB200
from collapse_lab.datasets.emoji import NAMES, PICTURES
from collapse_lab.datasets.flowers102 import Flowers102


def write_idx(path: Path, array: np.ndarray) -> None:
    raw = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


def write_mnist(folder: Path, n: int = 40, tests: int = 20, suffix: str = "") -> dict[str, np.ndarray]:
    """Write pictures that hold their own row number, so that a wrong order fails a test."""
    written = {}
    for split, size, start in (("train", n, 0), ("t10k", tests, n)):
        images = np.zeros((size, 28, 28), np.uint8)
        images[:, 3, 5] = np.arange(start, start + size)
        labels = (np.arange(start, start + size) % 10).astype(np.uint8)
        write_idx(folder / f"{split}-images-idx3-ubyte{suffix}", images)
        write_idx(folder / f"{split}-labels-idx1-ubyte{suffix}", labels)
        written[split] = labels
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


def header_of(width: int, height: int) -> bytes:
    """Return a small PNG that announces a picture of this size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(1000))
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data, b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def write_emoji(folder: Path) -> None:
    """Write four named pictures (the first is transparent), a variant by skin tone, and one picture without a group."""
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


def jpeg(array: np.ndarray) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(array).save(sink, "JPEG", quality=100, subsampling=0)
    return sink.getvalue()


def write_files(folder: Path, files: dict[str, bytes], archive: str | None) -> None:
    """Write files into a tar archive, or into the folder itself where `archive` is None.

    The archive has the last file first, so that its order is not the official one.
    """
    if archive is not None:
        write_tar(folder / archive, dict(reversed(files.items())))
        return
    for name, raw in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(raw)


def flower_pictures(n: int = 12) -> dict[str, bytes]:
    """Return grey pictures of several sizes; picture i has the grey level 20 i, and is white outside the square."""
    pictures = {}
    for i in range(1, n + 1):
        array = np.full((24, 48 + 2 * i, 3), 255, np.uint8)
        array[:, 4:-4] = 20 * i
        pictures[f"jpg/image_{i:05d}.jpg"] = jpeg(array)
    return pictures


def write_flowers(folder: Path, as_archive: bool = True, n: int = 12) -> None:
    """Write labels 1, 2, 3, 1, ...; the pictures 1 to 4 are trnid, 5 to 6 valid, the others tstid."""
    write_files(folder, flower_pictures(n), "102flowers.tgz" if as_archive else None)
    write_flower_lists(folder, [i % 3 + 1 for i in range(n)], range(7, n + 1))


def write_flower_lists(folder: Path, labels: Sequence[int], test: Sequence[int]) -> None:
    savemat(folder / "imagelabels.mat", {"labels": np.array([labels], np.uint8)})
    savemat(folder / "setid.mat", {"trnid": np.arange(1, 5)[None], "valid": [[5, 6]], "tstid": np.array([list(test)])})


SPECIES = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross")
BIRD_SIZE = (120, 90)  # width, height


def bird_files(n: int = 9) -> dict[str, bytes]:
    """Return the lists and the pictures of n birds: red is the column, green is the row, blue is 20 times the id."""
    width, height = BIRD_SIZE
    names = [f"{SPECIES[(i - 1) % 3]}/Bird_{i:04d}_{100 - i}.jpg" for i in range(1, n + 1)]
    lists = {
        "images.txt": [f"{i} {name}" for i, name in enumerate(names, 1)],
        "classes.txt": [f"{i} {name}" for i, name in enumerate(SPECIES, 1)],
        "image_class_labels.txt": [f"{i} {(i - 1) % 3 + 1}" for i in range(1, n + 1)],
        "train_test_split.txt": [f"{i} {int(i <= n - 3)}" for i in range(1, n + 1)],
        "bounding_boxes.txt": [f"{i} {30.0 + i} 25.0 40.0 20.0" for i in range(1, n + 1)],
    }
    files = {f"CUB_200_2011/{name}": ("\n".join(lines) + "\n").encode() for name, lines in lists.items()}
    files |= {"CUB_200_2011/README": b"read me", "attributes.txt": b"1 has_bill_shape::curved\n"}
    for i, name in enumerate(names, 1):
        red, green = np.meshgrid(np.arange(width), np.arange(height))
        array = np.stack([red, green, np.full_like(red, 20 * i)], axis=-1).astype(np.uint8)
        files[f"CUB_200_2011/images/{name}"] = jpeg(array)
    return files


def write_birds(folder: Path, as_archive: bool = True, files: dict[str, bytes] | None = None) -> None:
    write_files(folder, files or bird_files(), "CUB_200_2011.tgz" if as_archive else None)


def flowers(root: Path, **changes: Any) -> Flowers102:
    arguments: dict[str, Any] = {"root": str(root), "cache": str(root.parent / "cache"), "image_size": 8}
    return Flowers102(**(arguments | changes))


def birds(root: Path, **changes: Any) -> CUB200:
    arguments: dict[str, Any] = {"root": str(root), "cache": str(root.parent / "cache"), "image_size": 8}
    return CUB200(**(arguments | changes))
