"""Write the samples of a generation: pictures with their captions, or texts, as `datasets.load_dataset` takes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from collapse_lab.engine.lab import Lab
from collapse_lab.engine.payloads import samples_of
from collapse_lab.images import as_uint8
from collapse_lab.sharing.chosen import Chosen
from collapse_lab.storage.store import Payload
from collapse_lab.types import Exported, Samples, Spec

IMAGES_CALL = """from datasets import load_dataset

images = load_dataset("imagefolder", data_dir="FOLDER", split="train")"""
TEXTS_CALL = """from datasets import load_dataset

texts = load_dataset("json", data_files="FOLDER/texts.jsonl", split="train")"""


def export_samples(chosen: Chosen, folder: Path) -> Exported:
    """Write the samples of every prompt set, before any curation.

    Images lie in a subfolder for each prompt set, and `metadata.jsonl` has a line for each: `file_name`, `prompts` (the
    prompt set), and, where the samples have them, `text`, `label` and `class`. An image that was drawn from a real one
    also has `from_row`, the number of that row of the training split, and `strength`; and `from_file`, the name of its
    file, where the data set has a file for each picture. Texts lie in `texts.jsonl`, a line each.

    Args:
        chosen: the generation.
        folder: an empty folder.

    Raises:
        UserError: the store's entry is damaged, or the model diverged.
    """
    spec = chosen.lab.dataset.spec
    pictures = spec.modality == "image"
    lines = []
    for name, stage in chosen.step.samples.items():
        payload = chosen.stored("sample", stage.key)
        samples = samples_of(payload)
        rows = _images(samples, folder, name) if pictures else _texts(samples, spec)
        parts = zip(rows, _conditions(samples, spec), _origins(payload, len(samples), chosen.lab), strict=True)
        lines += [{**row, "prompts": name, **condition, **origin} for row, condition, origin in parts]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / ("metadata.jsonl" if pictures else "texts.jsonl")).write_text(text)
    if not pictures:
        return Exported("datasets", "text-generation", TEXTS_CALL)
    prompts = any("text" in line for line in lines)
    return Exported("datasets", "text-to-image" if prompts else "unconditional-image-generation", IMAGES_CALL)


def _images(samples: Samples, folder: Path, name: str) -> Iterator[dict[str, Any]]:
    (folder / name).mkdir()
    for number, image in enumerate(samples.data):
        pixels = as_uint8(image).permute(1, 2, 0).contiguous().numpy()
        file = f"{name}/{number:06d}.png"
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(folder / file)
        yield {"file_name": file}


def _texts(samples: Samples, spec: Spec) -> Iterator[dict[str, Any]]:
    assert spec.tokens is not None  # because rows are tokens
    return ({"text": text} for text in spec.tokens.decode(samples.data))


def _conditions(samples: Samples, spec: Spec) -> Iterator[dict[str, Any]]:
    """Yield the caption and the label of each sample, where there are any; a text has no caption beside itself."""
    captions = samples.captions.texts() if spec.modality == "image" else []
    for number, label in enumerate(samples.labels.tolist()):
        condition: dict[str, Any] = {"text": captions[number]} if captions else {}
        if label >= 0:
            condition |= {"label": label} | ({"class": spec.classes[label]} if spec.classes else {})
        yield condition


def _origins(payload: Payload, n: int, lab: Lab) -> Iterator[dict[str, Any]]:
    """Yield from which real row, and from which file, each of n samples was drawn; nothing where it was from none."""
    if "rows" not in payload.meta:
        yield from ({} for _ in range(n))
        return
    rows, strength, files = payload.meta["rows"], payload.meta["strength"], lab.real.files
    for row in rows:
        file = {} if files is None else {"from_file": files[row]}
        yield {"from_row": row, **file, "strength": strength}
