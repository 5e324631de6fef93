from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collapse_lab.datasets.cub200 import squared, word
from collapse_lab.errors import UserError
from tests.datasets.archives import bird_files, birds, write_birds


@pytest.mark.parametrize("as_archive", [True, False])
def test_birds_are_read_in_order_with_labels_and_the_official_split(root: Path, as_archive: bool) -> None:
    write_birds(root, as_archive)
    data = birds(root, templates=["{}"])
    real = data.load()
    ids = [round(float(blue) / 20) for samples in (real.train, real.reference) for blue in samples.data[:, 2, 4, 4]]
    assert ids == list(range(1, 10))
    assert real.train.labels.tolist() == [0, 1, 2] * 2
    assert real.reference.labels.tolist() == [0, 1, 2]
    assert data.spec.classes == ("black footed albatross", "laysan albatross", "sooty albatross")
    assert real.reference.captions.texts() == list(data.spec.classes)


def test_a_bird_is_in_the_middle_of_its_enlarged_box(root: Path) -> None:
    write_birds(root)
    size = 16
    images = birds(root, image_size=size, margin=0.5).read().images.astype(float)
    # red tells the column and green the row: the square of 1.5 * 40 pixels about the middle of x, 25, 40, 20
    at = (np.arange(size) + 0.5) * 60 / size - 0.5
    for i in range(1, 10):
        left, top = 30 + i + 20 - 30, 25 + 10 - 30
        inner = slice(2, -2)
        assert np.abs(images[i - 1, 0, 8, inner] - (left + at)[inner]).max() < 1.5
        assert np.abs(images[i - 1, 1, inner, 8] - (top + at)[inner]).max() < 1.5


def test_birds_can_be_cropped_to_the_central_square(root: Path) -> None:
    files = bird_files()
    del files["CUB_200_2011/bounding_boxes.txt"]
    write_birds(root, files=files)
    image = birds(root, crop="centre", image_size=90).read().images[0].astype(int)
    assert np.abs(image[0, 45] - np.arange(15, 105)).max() <= 2
    assert np.abs(image[1, :, 45] - np.arange(90)).max() <= 2
    with pytest.raises(UserError, match=r"should hold .*bounding_boxes\.txt"):
        _ = birds(root).spec


def test_squares_equal_those_computed_by_hand() -> None:
    assert squared((40, 30, 20, 40), 0.25, 200, 200) == (25, 25, 75, 75)
    assert squared((40, 30, 20, 40), 0, 200, 200) == (30, 30, 70, 70)
    # 10 pixels from the left edge to the middle, so 20 across
    assert squared((0, 50, 20, 40), 0.25, 200, 200) == (0, 45, 20, 95)
    assert squared((150, 150, 40, 40), 1.0, 200, 180) == (140, 160, 200, 180)


@given(*[st.floats(0, 100)] * 2, *[st.floats(1, 100)] * 2, st.floats(0, 2))
def test_a_square_stays_within_the_picture_and_around_the_bird(
    x: float, y: float, w: float, h: float, margin: float
) -> None:
    left, top, right, bottom = squared((x, y, w, h), margin, 210, 205)
    assert -1e-9 <= left < right <= 210 + 1e-9
    assert -1e-9 <= top < bottom <= 205 + 1e-9
    assert abs((left + right) / 2 - (x + w / 2)) < 1e-6
    assert abs((top + bottom) / 2 - (y + h / 2)) < 1e-6
    assert max(right - left, bottom - top) <= (1 + margin) * max(w, h) + 1e-6


def test_a_species_without_a_number_keeps_its_name() -> None:
    assert word("017.Cardinal") == "cardinal"
    assert word("Cardinal") == "Cardinal"


def test_the_root_may_be_the_extracted_folder_itself(root: Path) -> None:
    write_birds(root, as_archive=False)
    inner = birds(root / "CUB_200_2011", cache=str(root.parent / "cache"))
    assert inner.key == birds(root).key
    assert len(inner.read().labels) == 9


def refuse_birds(root: Path, message: str, files: dict[str, bytes], as_archive: bool = True, **changes: Any) -> None:
    write_birds(root, as_archive, files)
    with pytest.raises(UserError, match=message):
        birds(root, **changes).load()
    assert not list((root.parent / "cache").rglob("*.npz"))


@pytest.mark.parametrize("as_archive", [True, False])
def test_birds_that_are_missing_or_unknown_are_refused(root: Path, as_archive: bool) -> None:
    files = bird_files()
    pictures = sorted(name for name in files if name.endswith(".jpg"))
    fewer = {name: raw for name, raw in files.items() if name not in pictures[:2]}
    message = r"the 9 pictures of images\.txt, and 2 are missing, the first 001\.Black.*extract the official"
    refuse_birds(root, message, fewer, as_archive)
    more = files | {"CUB_200_2011/images/004.New/New_1.jpg": files[pictures[0]]}
    refuse_birds(
        root, r"holds 1 pictures that images\.txt does not know, the first 004\.New/New_1\.jpg", more, as_archive
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("image_class_labels.txt", "1 1\n2 2\n", r"one line for each of the 9 pictures of images\.txt, and it has 2"),
        ("image_class_labels.txt", "\n".join(f"{i} 4" for i in range(1, 10)), r"ids of classes\.txt, and '4' is none"),
        ("train_test_split.txt", "\n".join(f"{i} 2" for i in range(1, 10)), "say 1 .training. or 0 .test., and '2'"),
        ("bounding_boxes.txt", "\n".join(f"{i} 1 2 3" for i in range(1, 10)), "x, y, width and height, and 1 has"),
        ("bounding_boxes.txt", "\n".join(f"{i} 1 2 3 0" for i in range(1, 10)), "boxes with an area, and that of 1"),
        ("bounding_boxes.txt", "\n".join(f"{i} 400 2 3 9" for i in range(1, 10)), "its middle outside its picture"),
        ("images.txt", "1 a.jpg\n1 b.jpg\n", "lines of a new id and a value, and one is '1 b.jpg'"),
        ("images.txt", "1 a.jpg\n2 a.jpg\n", "missing, the first a.jpg"),
        ("classes.txt", "", "lines of an id and a value, and it is empty"),
        ("classes.txt", "\udcff", "should be UTF-8 text"),
    ],
)
def test_lists_of_birds_that_do_not_fit_are_refused(root: Path, name: str, text: str, message: str) -> None:
    raw = text.encode(errors="surrogateescape")
    refuse_birds(root, message, bird_files() | {f"CUB_200_2011/{name}": raw})


def test_a_picture_that_is_named_twice_is_refused(root: Path) -> None:
    files = bird_files()
    lines = files["CUB_200_2011/images.txt"].decode().splitlines()
    twice = "\n".join([*lines, f"10 {lines[0].split()[1]}"]).encode()
    refuse_birds(root, "names a picture twice", files | {"CUB_200_2011/images.txt": twice})


def test_bad_arguments_of_birds_are_refused(root: Path) -> None:
    write_birds(root)
    for change, message in (({"image_size": None}, "pictures of many sizes"),):
        with pytest.raises(UserError, match=message):
            birds(root, **change)
    with pytest.raises(UserError, match="should be a folder"):
        birds(root / "absent")
    (root / "CUB_200_2011.tgz").unlink()
    with pytest.raises(UserError, match=r"CUB_200_2011\.tgz or the folder CUB_200_2011"):
        _ = birds(root).key
