import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from collapse_lab.datasets import hub
from collapse_lab.datasets.hub import Hub
from collapse_lab.errors import UserError
from tests.datasets.archives import encoded, header_of

datasets = pytest.importorskip("datasets")
KINDS = ["cat", "dog"]


def save(folder: Path, n: int = 12, split: bool = True) -> None:
    """Save pictures that hold their own row number, as a data set with a train and a test split."""
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=KINDS),
        }
    )

    def rows_from(start: int, size: int) -> Any:
        images = [np.full((10, 10, 3), i, np.uint8) for i in range(start, start + size)]
        texts = [f"picture {i}" for i in range(start, start + size)]
        labels = [i % 2 for i in range(start, start + size)]
        return datasets.Dataset.from_dict({"image": images, "text": texts, "label": labels}, features=features)

    saved = datasets.DatasetDict({"train": rows_from(0, n), "test": rows_from(n, 4)}) if split else rows_from(0, n)
    saved.save_to_disk(str(folder))


def hub_of(folder: Path, **changes: Any) -> Hub:
    cache = str(folder.with_name(f"{folder.name}-cache"))
    arguments: dict[str, Any] = {"name": str(folder), "caption_column": "text", "label_column": "label", "cache": cache}
    return Hub(**(arguments | changes))


def test_a_saved_data_set_is_read_with_its_own_splits(tmp_path: Path) -> None:
    save(tmp_path)
    data = hub_of(tmp_path, reference_split="test", image_size=5)
    real = data.load()
    assert real.train.data[:, 0, 2, 2].tolist() == list(range(12))
    assert real.reference.data[:, 0, 2, 2].tolist() == [12, 13, 14, 15]
    assert real.reference.captions.texts() == [f"picture {i}" for i in range(12, 16)]
    assert real.train.labels.tolist() == [i % 2 for i in range(12)]
    assert (data.spec.classes, data.spec.shape, len(data.spec.vocabulary)) == (("cat", "dog"), (3, 5, 5), 16)


def test_one_split_is_divided_by_a_fraction(tmp_path: Path) -> None:
    save(tmp_path, split=False)
    data = hub_of(tmp_path, reference_fraction=0.5, caption_column=None, templates=["{a}"])
    real = data.load()
    assert (len(real.train), len(real.reference)) == (6, 6)
    assert set(real.train.captions.texts()) == {"a cat", "a dog"}
    assert data.spec.shape == (3, 10, 10)
    assert data.key == hub_of(tmp_path, reference_fraction=0.5, caption_column=None, templates=["{a}"]).key


def test_pictures_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> np.ndarray:
        raise AssertionError(f"decoded again: {args}")

    save(tmp_path)
    first = hub_of(tmp_path, reference_split="test", image_size=5).load()
    monkeypatch.setattr(hub, "read_picture", fail)
    again = hub_of(tmp_path, reference_split="test", image_size=5).load()
    assert torch.equal(again.train.data, first.train.data)
    assert again.reference.captions.texts() == first.reference.captions.texts()
    with pytest.raises(AssertionError, match="decoded again"):
        hub_of(tmp_path, reference_split="test", image_size=6).load()


def test_a_folder_of_parquet_is_read_too(tmp_path: Path) -> None:
    save(tmp_path / "saved", split=False)
    (tmp_path / "plain").mkdir()
    datasets.load_from_disk(str(tmp_path / "saved")).to_parquet(str(tmp_path / "plain" / "train.parquet"))
    data = hub_of(tmp_path / "plain", reference_fraction=0.5, cache=str(tmp_path / "cache"))
    real = data.load()
    rows = [*real.train.data[:, 0, 0, 0].tolist(), *real.reference.data[:, 0, 0, 0].tolist()]
    assert sorted(rows) == list(range(12))


def test_a_bad_picture_is_refused_or_left_out(tmp_path: Path) -> None:
    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})
    save(tmp_path / "good", n=4, split=False)
    good = datasets.load_from_disk(str(tmp_path / "good")).cast_column("image", datasets.Image(decode=False))
    cells = [row["image"] for row in good] + [{"bytes": b"no picture", "path": None}]
    rows = {"image": cells, "text": [str(i) for i in range(5)]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(tmp_path / "bad"))
    with pytest.raises(UserError, match="of row 4 of"):
        hub_of(tmp_path / "bad", label_column=None, reference_fraction=0.5).load()
    data = hub_of(tmp_path / "bad", label_column=None, reference_fraction=0.5, on_bad="skip")
    assert len(data.read().images) == 4
    assert len(data.skipped) == 1


def test_a_bomb_a_nul_and_numbers_that_are_no_pixels_are_bad_pictures(tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(encoded((9, 9, 9)))
    (tmp_path / "bomb.png").write_bytes(header_of(30_000, 30_000))
    names = [str(tmp_path / name) for name in ("bomb.png", "good.png", "a\0b.png", "good.png", "good.png", "good.png")]
    rows = {"image": names, "text": list("abcdef")}
    datasets.Dataset.from_dict(rows).save_to_disk(str(tmp_path / "encoded"))
    arguments: dict[str, Any] = {"label_column": None, "reference_fraction": 0.5}
    with pytest.raises(UserError, match=r"picture of row 0 of .* cannot be read"):
        hub_of(tmp_path / "encoded", **arguments).load()
    data = hub_of(tmp_path / "encoded", on_bad="skip", **arguments)
    assert data.spec.shape == (3, 16, 16)
    assert data.read().images.shape == (4, 3, 16, 16)
    assert [" ".join(entry.split()[1:3]) for entry in data.skipped] == ["row 0", "row 2"]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 0.5, -1.0, 256.0])
def test_numbers_that_are_no_pixels_are_bad_pictures(tmp_path: Path, number: float) -> None:
    pictures = np.full((4, 6, 6), 7, np.float32)
    pictures[1, 2, 3] = number
    rows = {"image": pictures.tolist(), "text": list("abcd")}
    features = datasets.Features({"image": datasets.Array2D((6, 6), "float32"), "text": datasets.Value("string")})
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(tmp_path / "numbers"))
    arguments: dict[str, Any] = {"label_column": None, "reference_fraction": 0.5, "channels": 1}
    with pytest.raises(UserError, match=r"picture of row 1 of .* cannot be read"):
        hub_of(tmp_path / "numbers", **arguments).load()
    data = hub_of(tmp_path / "numbers", on_bad="skip", **arguments)
    assert (data.read().images == 7).all()
    assert len(data.skipped) == 1


def test_wrong_names_are_refused_with_the_most_similar_name(tmp_path: Path) -> None:
    save(tmp_path)
    with pytest.raises(UserError, match="did you mean 'train'"):
        hub_of(tmp_path, split="trian", reference_fraction=0.5).load()
    with pytest.raises(UserError, match="did you mean 'image'"):
        hub_of(tmp_path, image_column="imgae", reference_fraction=0.5).load()
    with pytest.raises(UserError, match="not both"):
        hub_of(tmp_path, reference_split="test", reference_fraction=0.5)
    with pytest.raises(UserError, match="needs a revision"):
        Hub(name="owner/pictures", reference_fraction=0.5)


def test_the_message_names_the_extra_when_the_library_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path)
    real_import = builtins.__import__

    def absent(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "datasets":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UserError, match=r"collapse-lab\[hub\]"):
        hub_of(tmp_path, reference_fraction=0.5).load()
