import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from collapse_lab.datasets.flowers102 import NAMES
from collapse_lab.errors import UserError
from tests.datasets.archives import (
    encoded,
    flower_pictures,
    flowers,
    write_files,
    write_flower_lists,
    write_flowers,
)


@pytest.mark.parametrize("as_archive", [True, False])
def test_flowers_are_read_in_order_with_labels_and_the_official_split(root: Path, as_archive: bool) -> None:
    write_flowers(root, as_archive)
    data = flowers(root, templates=["{a}"])
    rows = data.read()
    # no white of the frame: the central square alone is kept
    assert (rows.images == 20 * np.arange(1, 13)[:, None, None, None]).all()
    assert rows.labels.tolist() == [0, 1, 2] * 4
    real = data.load()
    assert real.train.data[:, 0, 4, 4].tolist() == [20, 40, 60, 80, 100, 120]
    assert real.reference.data[:, 0, 4, 4].tolist() == [140, 160, 180, 200, 220, 240]
    assert real.train.captions.texts()[1] == "a hard-leaved pocket orchid"
    assert (data.spec.shape, len(data.spec.classes)) == ((3, 8, 8), 102)


def test_a_fraction_of_all_flowers_can_be_the_reference(root: Path) -> None:
    write_flowers(root)
    real = flowers(root, reference_fraction=0.25).load()
    assert (len(real.train), len(real.reference)) == (9, 3)
    assert sorted(real.reference.labels) == [0, 1, 2]


def test_flowers_have_the_names_that_torchvision_gives_them() -> None:
    published = pytest.importorskip("torchvision").datasets.Flowers102.classes
    assert list(NAMES) == [name.rstrip("?") for name in published]
    assert len(set(NAMES)) == 102


@pytest.mark.parametrize("as_archive", [True, False])
def test_flowers_that_are_missing_or_unknown_are_refused(root: Path, as_archive: bool) -> None:
    write_flowers(root, as_archive)
    write_flower_lists(root, [1] * 13, range(7, 14))
    with pytest.raises(
        UserError, match=r"the 13 pictures of imagelabels\.mat, and 1 are missing, the first image_00013"
    ):
        flowers(root).load()
    write_flower_lists(root, [1] * 11, range(7, 12))
    with pytest.raises(UserError, match=r"1 pictures that imagelabels\.mat does not know, the first image_00012"):
        flowers(root).load()
    assert not (root.parent / "cache").exists()


def test_lists_of_flowers_that_do_not_fit_are_refused(root: Path) -> None:
    write_flowers(root)
    for test in (range(7, 12), range(6, 13), range(7, 14)):
        write_flower_lists(root, [1] * 12, test)
        with pytest.raises(UserError, match=r"each of the 12 pictures of imagelabels\.mat once"):
            flowers(root).load()
    write_flower_lists(root, [103] * 12, range(7, 13))
    with pytest.raises(UserError, match="labels from 1 to 102"):
        flowers(root).load()
    (root / "imagelabels.mat").write_bytes(b"no matlab")
    with pytest.raises(UserError, match="cannot be read as a MATLAB file that holds labels"):
        flowers(root).load()
    (root / "setid.mat").unlink()
    with pytest.raises(UserError, match=r"should hold setid\.mat beside 102flowers\.tgz"):
        _ = flowers(root).key


def test_pictures_of_any_mode_become_colour(root: Path) -> None:
    grey = encoded((77,), "L", "JPEG", 30)
    write_files(root, flower_pictures() | {"jpg/image_00002.jpg": grey}, "102flowers.tgz")
    write_flower_lists(root, [1] * 12, range(7, 13))
    assert (flowers(root).read().images[1] == 77).all()
    assert Image.open(io.BytesIO(grey)).mode == "L"
