import csv
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from collapse_lab.config.binding import bind
from collapse_lab.datasets import imagefolder
from collapse_lab.datasets.imagefolder import ImageFolder
from collapse_lab.engine.view import View
from collapse_lab.errors import UserError
from tests.datasets.archives import encoded, header_of

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]
WORDS = ["red", "green", "blue", "yellow"]


def write_metadata(folder: Path, rows: list[dict[str, Any]], form: str) -> None:
    path = folder / f"metadata.{form}"
    if form == "csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    elif form == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    else:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def write_folder(folder: Path, form: str = "csv", n: int = 12) -> None:
    (folder / "sub").mkdir()
    rows = []
    for i in range(n):
        name = f"sub/{i}.png"
        (folder / name).write_bytes(encoded(COLOURS[i % 4]))
        rows.append({"file_name": name, "text": f"a {WORDS[i % 4]}, square {i}", "kind": WORDS[i % 4]})
    write_metadata(folder, rows, form)


def folder_of(path: Path, **changes: Any) -> ImageFolder:
    cache = str(path.with_name(f"{path.name}-cache"))
    arguments: dict[str, Any] = {"root": str(path), "reference_fraction": 0.25, "label_column": "kind", "cache": cache}
    return ImageFolder(**(arguments | changes))


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_each_format_gives_pictures_captions_and_labels(tmp_path: Path, form: str) -> None:
    write_folder(tmp_path, form)
    data = folder_of(tmp_path, image_size=8)
    real = data.load()
    assert (len(real.train), len(real.reference)) == (9, 3)
    assert data.spec.classes == ("blue", "green", "red", "yellow")
    assert data.spec.shape == (3, 8, 8)
    for samples in (real.train, real.reference):
        for x, label, text in zip(samples.data, samples.labels, samples.captions.texts(), strict=True):
            word = data.classes[label]
            assert text.startswith(f"a {word}, square")
            assert tuple(x[:, 3, 3].tolist()) == COLOURS[WORDS.index(word)]
            assert text in data.spec.vocabulary


def test_captions_can_come_from_labels_or_be_absent(tmp_path: Path) -> None:
    write_folder(tmp_path)
    made = folder_of(tmp_path, caption_column=None, templates=["it is {}"]).load().train
    assert set(made.captions.texts()) <= {f"it is {w}" for w in WORDS}
    bare = folder_of(tmp_path, caption_column=None, label_column=None)
    assert (bare.load().train.labels == -1).all()
    assert (bare.spec.classes, bare.spec.vocabulary, bare.load().train.captions.table) == ((), (), ())


def test_labels_that_are_numbers_are_sorted_by_size(tmp_path: Path) -> None:
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes(encoded(COLOURS[i]))
    rows = [{"file_name": f"{i}.png", "text": "", "kind": k} for i, k in enumerate([10, 9, 10, 2])]
    write_metadata(tmp_path, rows, "csv")
    data = folder_of(tmp_path)
    assert data.spec.classes == ("2", "9", "10")
    assert data.read().labels.tolist() == [2, 1, 2, 0]


def test_a_bad_picture_is_refused_or_left_out(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "sub" / "5.png").write_bytes(b"no picture")
    (tmp_path / "sub" / "7.png").unlink()
    with pytest.raises(UserError, match=r"sub/5\.png cannot be read"):
        folder_of(tmp_path).load()
    data = folder_of(tmp_path, on_bad="skip")
    rows = data.read()
    assert [entry.split(":")[0] for entry in data.skipped] == ["sub/5.png", "sub/7.png"]
    assert rows.captions is not None
    assert [int(t.split()[-1]) for t in rows.captions.texts()] == [0, 1, 2, 3, 4, 6, 8, 9, 10, 11]
    assert rows.labels.tolist() == [data.classes.index(WORDS[i % 4]) for i in (0, 1, 2, 3, 4, 6, 8, 9, 10, 11)]


def fail(*args: object) -> np.ndarray:
    raise AssertionError(f"decoded again: {args}")


@pytest.mark.parametrize("on_bad", ["refuse", "skip"])
def test_pictures_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_bad: str) -> None:
    write_folder(tmp_path)
    if on_bad == "skip":
        (tmp_path / "sub" / "5.png").write_bytes(b"no picture")
    first, settings = folder_of(tmp_path, on_bad=on_bad, image_size=8), {"on_bad": on_bad, "image_size": 8}
    rows = first.load()
    monkeypatch.setattr(imagefolder, "read_picture", fail)
    again = folder_of(tmp_path, **settings)
    assert torch.equal(again.load().train.data, rows.train.data)
    assert again.load().train.captions.texts() == rows.train.captions.texts()
    assert again.skipped == first.skipped
    assert len(first.skipped) == (on_bad == "skip")
    bare = folder_of(tmp_path, **settings, label_column=None, caption_column=None, reference_fraction=0.5, limit=2)
    assert len(bare.load().train) == 2
    with pytest.raises(AssertionError, match="decoded again"):
        folder_of(tmp_path, **{**settings, "image_size": 9}).load()
    os.utime(tmp_path / "sub" / "0.png", ns=(1, 1))
    with pytest.raises(AssertionError, match="decoded again"):
        folder_of(tmp_path, **settings).load()


def test_rows_that_are_opened_are_those_that_are_loaded_and_copy_nothing(tmp_path: Path) -> None:
    write_folder(tmp_path)
    data = folder_of(tmp_path, only=["red", "blue"], limit=2)
    opened, loaded = data.open(), data.load()
    for view, rows in ((opened.train, loaded.train), (opened.reference, loaded.reference)):
        assert torch.equal(view.data[:], rows.data)
        assert view.labels.tolist() == rows.labels.tolist()
        assert view.captions.texts() == rows.captions.texts()
    train, reference = opened.train.data, opened.reference.data
    assert isinstance(train, View)
    assert isinstance(reference, View)
    assert train.sources == reference.sources
    (source,) = train.sources
    assert source.file is not None
    assert len(source.rows) == 12


@pytest.mark.parametrize("on_bad", ["refuse", "skip"])
def test_each_training_row_has_the_name_of_its_file(tmp_path: Path, on_bad: str) -> None:
    write_folder(tmp_path, n=24)
    if on_bad == "skip":
        (tmp_path / "sub" / "0.png").write_bytes(b"no picture")
    chosen = {"only": ["yellow", "red"], "limit": 6, "validation_fraction": 0.25}
    for changes, rows in (({}, 18 - (on_bad == "skip")), ({"image_size": 5, "limit": 9}, 9), (chosen, 6)):
        real = folder_of(tmp_path, on_bad=on_bad, **changes).load()
        # The caption of a picture ends with the number that its name has
        names = [f"sub/{text.split()[-1]}.png" for text in real.train.captions.texts()]
        assert list(real.files or ()) == names
        assert len(names) == rows
        assert on_bad == "refuse" or "sub/0.png" not in names


def test_decoded_pictures_that_change_under_a_run_are_refused_and_decoded_anew_by_the_next(tmp_path: Path) -> None:
    write_folder(tmp_path)
    data = folder_of(tmp_path)
    expected, opened = data.load().train.data, data.open()
    (block,) = Path(data.cache).glob("decoded/*.npy")
    os.truncate(block, 200)
    with pytest.raises(UserError, match=rf"{block} shrank from \d+ to 200 bytes while this run read it"):
        opened.train.data[:]
    assert torch.equal(folder_of(tmp_path).load().train.data, expected)


def test_where_pictures_are_decoded_to_changes_no_signature(tmp_path: Path) -> None:
    node = {"_target_": "collapse_lab.datasets.imagefolder.ImageFolder", "root": str(tmp_path)}
    assert bind({**node, "cache": "<data>"}, "dataset") == bind(node, "dataset")


def test_pictures_of_several_sizes_need_image_size(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "sub" / "3.png").write_bytes(encoded((1, 2, 3), side=20))
    with pytest.raises(UserError, match="set image_size"):
        folder_of(tmp_path).load()
    assert folder_of(tmp_path, image_size=16, channels=1).load().train.data.shape[1:] == (1, 16, 16)


def test_the_key_changes_with_files_and_metadata_but_not_with_the_folder(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    write_folder(first)
    key = folder_of(first).key
    first.rename(second)
    assert folder_of(second).key == key
    (second / "sub" / "0.png").write_bytes(encoded((9, 9, 9)))
    os.utime(second / "sub" / "0.png", ns=(1, 1))
    changed = folder_of(second).key
    assert changed != key
    with (second / "metadata.csv").open("a") as file:
        file.write("sub/0.png,again,red\n")
    assert folder_of(second).key not in (key, changed)


def test_bad_metadata_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="should be a folder"):
        folder_of(tmp_path / "absent")
    with pytest.raises(UserError, match=r"metadata\.jsonl.*it holds none"):
        folder_of(tmp_path).load()
    write_folder(tmp_path)
    with pytest.raises(UserError, match="did you mean 'text'"):
        folder_of(tmp_path, caption_column="texts").load()
    (tmp_path / "metadata.jsonl").write_text("{not json")
    with pytest.raises(UserError, match="should hold one of"):
        folder_of(tmp_path).load()
    (tmp_path / "metadata.csv").unlink()
    with pytest.raises(UserError, match="cannot be read as jsonl"):
        folder_of(tmp_path).load()


@pytest.mark.parametrize("on_bad", ["refuse", "skip"])
@pytest.mark.parametrize(
    "name", ["../outside.png", "sub/../../outside.png", "{absolute}", "link.png", "way/outside.png"]
)
def test_a_name_that_leads_outside_the_folder_is_refused(tmp_path: Path, name: str, on_bad: str) -> None:
    (tmp_path / "outside.png").write_bytes(encoded(COLOURS[0]))
    root = tmp_path / "root"
    root.mkdir()
    (root / "link.png").symlink_to(tmp_path / "outside.png")
    (root / "way").symlink_to("..")
    write_folder(root)
    named = name.format(absolute=tmp_path / "outside.png")
    with (root / "metadata.csv").open("a") as file:
        file.write(f"{named},stolen,red\n")
    refusal = f"{named}' leads outside it: copy the picture into root"
    for attribute in ("key", "spec"):
        with pytest.raises(UserError, match=re.escape(refusal)):
            getattr(folder_of(root, on_bad=on_bad), attribute)
    with pytest.raises(UserError, match=re.escape(refusal)):
        folder_of(root, on_bad=on_bad).load()


def test_links_and_dots_inside_the_folder_are_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    write_folder(root)
    (root / "link.png").symlink_to("sub/0.png")
    with (root / "metadata.csv").open("a") as file:
        file.write("link.png,a red,red\nsub/../sub/1.png,a green,green\n")
    (tmp_path / "same").symlink_to(root)
    rows = folder_of(tmp_path / "same").read()
    assert len(rows.labels) == 14
    assert tuple(rows.images[12][:, 3, 3].tolist()) == COLOURS[0]


def write_float_picture(path: Path, values: list[list[float]]) -> None:
    Image.fromarray(np.array(values, np.float32)).save(path)


def spoil_as_a_bomb(root: Path, name: str) -> str:
    (root / name).write_bytes(header_of(30_000, 30_000))
    return name


def spoil_with_a_nul(root: Path, name: str) -> str:
    table = (root / "metadata.csv").read_text()
    (root / "metadata.csv").write_text(table.replace(name, f"{name}\0"))
    return f"{name}\0"


def spoil_with_a_long_name(root: Path, name: str) -> str:
    table = (root / "metadata.csv").read_text()
    (root / "metadata.csv").write_text(table.replace(name, "x" * 300))
    return "x" * 300


def spoil_with_nan(root: Path, name: str) -> str:
    write_float_picture(root / "nan.tiff", [[1, 2], [float("nan"), 4]])
    (root / "nan.tiff").rename(root / name)
    return name


def spoil_with_fractions(root: Path, name: str) -> str:
    write_float_picture(root / "fractions.tiff", [[0.1, 0.2], [0.3, 0.9]])
    (root / "fractions.tiff").rename(root / name)
    return name


def spoil_with_sixteen_bits(root: Path, name: str) -> str:
    Image.fromarray(np.array([[1, 2], [3, 65535]], np.uint16)).save(root / name)
    return name


SPOILERS = [
    spoil_as_a_bomb,
    spoil_with_a_nul,
    spoil_with_a_long_name,
    spoil_with_nan,
    spoil_with_fractions,
    spoil_with_sixteen_bits,
]


@pytest.mark.parametrize("name", ["sub/0.png", "sub/5.png"])
@pytest.mark.parametrize("spoil", SPOILERS)
def test_a_picture_that_only_pretends_to_be_one_is_refused_or_left_out(
    tmp_path: Path, spoil: Callable[[Path, str], str], name: str
) -> None:
    write_folder(tmp_path)
    spoilt = spoil(tmp_path, name)
    with pytest.raises(UserError, match=re.escape(f"the picture {spoilt} cannot be read")):
        folder_of(tmp_path, image_size=8).load()
    data = folder_of(tmp_path, image_size=8, on_bad="skip")
    assert data.spec.shape == (3, 8, 8)
    rows = data.read()
    assert len(rows.labels) == 11
    assert [entry.split(": ")[0] for entry in data.skipped] == [spoilt]


def test_a_float_picture_of_whole_numbers_is_read(tmp_path: Path) -> None:
    write_folder(tmp_path)
    write_float_picture(tmp_path / "whole.tiff", [[0, 1], [128, 255]])
    (tmp_path / "whole.tiff").rename(tmp_path / "sub" / "0.png")
    (tmp_path / "metadata.csv").write_text("file_name,text,kind\nsub/0.png,a,red\n")
    assert folder_of(tmp_path, image_size=None, channels=1).read().images.tolist() == [[[[0, 1], [128, 255]]]]
