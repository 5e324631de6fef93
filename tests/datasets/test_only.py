from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.utils import instantiate
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from collapse_lab.datasets.cifar10 import CIFAR10
from collapse_lab.datasets.digits import WORDS, Digits
from collapse_lab.datasets.emoji import Emoji
from collapse_lab.datasets.fashion_mnist import FashionMNIST
from collapse_lab.datasets.imagefolder import ImageFolder
from collapse_lab.datasets.mnist import MNIST
from collapse_lab.datasets.only import numbers_of, renumbered
from collapse_lab.errors import UserError
from tests.datasets.archives import cifar_pictures, write_cifar_png, write_emoji
from tests.datasets.test_imagefolder import write_folder

TEMPLATES = ["a handwritten {}", "the digit {} in pencil"]
BIRDS = Path(__file__).parents[2] / "conf" / "dataset" / "cifar10_birds.yaml"


def digits(**changes: Any) -> Digits:
    return Digits(reference_fraction=0.3, templates=TEMPLATES, **changes)


def test_the_kept_classes_are_numbered_in_the_order_of_only() -> None:
    all_classes, two_classes = digits().load(), digits(only=["seven", 2]).load()
    for before, after in ((all_classes.train, two_classes.train), (all_classes.reference, two_classes.reference)):
        kept = np.flatnonzero(np.isin(before.labels, [7, 2]))
        assert (after.data == before.data[kept]).all()
        assert after.captions.texts() == before.take(kept).captions.texts()
        assert (np.array([7, 2])[after.labels] == before.labels[kept]).all()
    assert len(two_classes.train) + len(two_classes.reference) == 179 + 177  # scikit-learn's counts of sevens and twos


def test_words_and_captions_belong_to_the_kept_classes() -> None:
    data = digits(only=["seven", "two"])
    assert data.spec.classes == ("seven", "two")
    expected = {template.replace("{}", word) for template in TEMPLATES for word in ("seven", "two")}
    assert set(data.spec.vocabulary) == expected == set(data.load().train.captions.table)
    assert data.load().train.captions.table == data.spec.vocabulary


def test_without_templates_there_are_no_captions() -> None:
    real = Digits(reference_fraction=0.3, only=[0]).load()
    assert (real.train.labels == 0).all()
    assert real.train.captions.table == ()


@given(st.lists(st.integers(0, 9), min_size=1, max_size=10, unique=True))
def test_numbers_and_words_choose_the_same_classes(numbers: list[int]) -> None:
    assert numbers_of(numbers, WORDS) == numbers_of([WORDS[i] for i in numbers], WORDS) == tuple(numbers)
    assert renumbered(np.array(numbers), numbers).tolist() == list(range(len(numbers)))


def test_unknown_and_repeated_classes_are_refused() -> None:
    for only, message in (
        (["sevem"], "did you mean 'seven'"),
        ([10], "numbered from 0 to 9, got 10"),
        ([-1], "numbered from 0 to 9, got -1"),
        (["seven", 7], "by its word and by its number"),
    ):
        with pytest.raises(UserError, match=message):
            _ = digits(only=only).spec
    wrong: list[Any] = [[], "seven", [1, 1]]
    for only, message in zip(wrong, ("null for all", r"write only=\[bird\]", "each class once"), strict=True):
        with pytest.raises(UserError, match=message):
            digits(only=only)


def test_only_is_refused_for_a_data_set_without_classes(tmp_path: Path) -> None:
    write_folder(tmp_path)
    data = ImageFolder(root=str(tmp_path), cache=str(tmp_path / "cache"), reference_fraction=0.25, only=["red"])
    with pytest.raises(UserError, match="this data set has none"):
        _ = data.spec


def test_a_split_with_an_empty_side_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, n=8)
    arguments = {"root": str(tmp_path), "cache": str(tmp_path / "cache"), "label_column": "kind"}
    arguments |= {"reference_fraction": 0.25}  # type: ignore[dict-item]
    for word in ("red", "green", "blue", "yellow"):
        data = ImageFolder(**arguments, only=[word])  # type: ignore[arg-type]
        reference = ImageFolder(**arguments).load().reference  # type: ignore[arg-type]
        if data.classes.index(word) in reference.labels:
            assert set(data.load().reference.labels) == {0}
        else:
            with pytest.raises(UserError, match="2 rows to train on and 0 for reference"):
                data.load()


def test_the_key_without_only_is_that_of_older_releases() -> None:
    # stages in users' stores hang on these
    keys = [Digits(reference_fraction=0.3).key, MNIST().key, CIFAR10().key, Emoji().key, FashionMNIST().key]
    assert keys == ["fa28d2683518525e", "2a8a34d3ab2d142b", "1bf2e26c4c1597a3", "db850a5231a7814e", "64b24df12e4a59f7"]
    assert len({digits().key, digits(only=[1, 2]).key, digits(only=[2, 1]).key, digits(only=[1]).key}) == 4


def test_the_users_own_captions_are_those_of_the_kept_rows(tmp_path: Path) -> None:
    write_folder(tmp_path)
    data = ImageFolder(
        root=str(tmp_path),
        cache=str(tmp_path / "cache"),
        label_column="kind",
        reference_fraction=0.25,
        only=["red", "blue"],
    )
    real = data.load()
    texts = [*real.train.captions.texts(), *real.reference.captions.texts()]
    assert sorted(texts) == list(data.spec.vocabulary)
    assert len(texts) == 6
    assert all(text.startswith(("a red", "a blue")) for text in texts)


def test_the_kept_groups_of_emoji_have_their_own_names_and_captions(tmp_path: Path) -> None:
    write_emoji(tmp_path)
    data = Emoji(root=str(tmp_path), image_size=8, reference_fraction=0.25, only=["flags", "food & drink"])
    assert data.spec.vocabulary == ("flag of Chad", "red apple")
    assert data.spec.classes == ("flags", "food & drink")


def test_cifar10_birds_are_class_two_of_cifar10(tmp_path: Path) -> None:
    write_cifar_png(tmp_path)
    node = OmegaConf.load(BIRDS)
    data = instantiate(OmegaConf.merge(node, {"root": str(tmp_path), "cache": "unused"}), _convert_="all")
    real = data.load()
    expected = [cifar_pictures(10, batch)[2] for batch in range(6)]
    assert (real.train.data.numpy() == expected[:5]).all()
    assert (real.reference.data.numpy() == expected[5:]).all()
    assert data.spec.classes == ("bird",)
    assert all("bird" in text for text in data.spec.vocabulary)
    assert real.train.labels.tolist() == [0] * 5
