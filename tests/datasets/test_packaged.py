import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from collapse_lab.datasets.cifar10 import CIFAR10
from collapse_lab.datasets.emoji import NAMES, PICTURES, Emoji
from collapse_lab.datasets.fashion_mnist import FashionMNIST
from collapse_lab.datasets.idx import read_idx
from collapse_lab.datasets.mnist import MNIST
from collapse_lab.errors import UserError
from tests.datasets.archives import (
    cifar_pictures,
    write_cifar_binary,
    write_cifar_png,
    write_emoji,
    write_idx,
    write_mnist,
    write_tar,
)


@pytest.mark.parametrize(("kind", "suffix"), [(MNIST, ""), (MNIST, ".gz"), (FashionMNIST, ""), (FashionMNIST, ".gz")])
def test_mnist_keeps_order_labels_and_official_split(tmp_path: Path, kind: type[MNIST], suffix: str) -> None:
    labels = write_mnist(tmp_path, suffix=suffix)
    data = kind(root=str(tmp_path), templates=["a {}"])
    real = data.load()
    assert (len(real.train), len(real.reference)) == (40, 20)
    assert real.train.data[:, 0, 3, 5].tolist() == list(range(40))
    assert real.reference.data[:, 0, 3, 5].tolist() == list(range(40, 60))
    assert (real.reference.labels == labels["t10k"]).all()
    assert real.train.captions.texts()[4] == f"a {data.classes[4]}"


def test_reference_fraction_replaces_the_official_split(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    real = MNIST(root=str(tmp_path), reference_fraction=0.5).load()
    assert (len(real.train), len(real.reference)) == (30, 30)
    rows = [*real.train.data[:, 0, 3, 5].tolist(), *real.reference.data[:, 0, 3, 5].tolist()]
    assert sorted(rows) == list(range(60))


def test_the_key_changes_with_the_files_that_are_read(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    before = MNIST(root=str(tmp_path)).key
    assert MNIST(root=str(tmp_path)).key == before != MNIST().key
    write_mnist(tmp_path, n=50)
    assert MNIST(root=str(tmp_path)).key != before
    assert MNIST(cache="here").key == MNIST(cache="there").key


def test_damaged_idx_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x-ubyte"
    write_idx(path, np.zeros((4, 28, 28), np.uint8))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="cut short"):
        read_idx(path, 3)
    with pytest.raises(UserError, match="begin as an IDX file"):
        read_idx(path, 1)
    path.write_bytes(b"\x1f\x8bnot gzip at all")
    with pytest.raises(UserError, match="damaged gzip"):
        read_idx(path, 3)


def test_an_idx_file_that_unpacks_to_more_than_it_announces_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x-ubyte.gz"
    header = bytes([0, 0, 8, 3]) + np.array([4, 28, 28], ">u4").tobytes()
    path.write_bytes(gzip.compress(header + bytes(5_000_000)))
    read: list[int] = []
    inner = gzip.GzipFile.read

    def counted(self: gzip.GzipFile, size: int = -1) -> bytes:
        read.append(size)
        return inner(self, size)

    monkeypatch.setattr(gzip.GzipFile, "read", counted)
    with pytest.raises(UserError, match=r"announces \(4, 28, 28\), that is 3136 bytes, and holds more"):
        read_idx(path, 3)
    assert read == [16, 3137]
    path.write_bytes(bytes([0, 0, 8, 3]) + np.full(3, 2**32 - 1, ">u4").tobytes() + b"short")
    with pytest.raises(UserError, match=f"that is {(2**32 - 1) ** 3} bytes, and holds 5"):
        read_idx(path, 3)


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(7, np.uint8))
    with pytest.raises(UserError, match="40 pictures and 7 labels"):
        MNIST(root=str(tmp_path)).load()
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.full(40, 11, np.uint8))
    with pytest.raises(UserError, match=r"labels in 0\.\.9"):
        MNIST(root=str(tmp_path)).load()
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match="should hold train-labels-idx1-ubyte"):
        _ = MNIST(root=str(tmp_path)).key


@pytest.mark.parametrize("write", [write_cifar_png, write_cifar_binary])
def test_cifar_pictures_and_labels_are_read_as_written(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path)
    real = CIFAR10(root=str(tmp_path)).load()
    assert (len(real.train), len(real.reference)) == (50, 10)
    for batch in range(5):
        expected = cifar_pictures(10, batch)
        assert (real.train.data[10 * batch : 10 * batch + 10].numpy() == expected).all()
    assert (real.reference.data.numpy() == cifar_pictures(10, 5)).all()
    assert real.train.labels.tolist() == [i % 10 for i in range(50)]


def test_damaged_cifar_is_refused(tmp_path: Path) -> None:
    write_cifar_png(tmp_path)
    (tmp_path / "data_batch_2.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(UserError, match=r"data_batch_2\.png cannot be read"):
        CIFAR10(root=str(tmp_path)).load()
    write_cifar_png(tmp_path)
    (tmp_path / "test_lables.json").write_text("[1, 2]")
    with pytest.raises(UserError, match="60 pictures and 52 labels"):
        CIFAR10(root=str(tmp_path)).load()


def test_emoji_have_their_names_their_groups_and_a_white_background(tmp_path: Path) -> None:
    write_emoji(tmp_path)
    data = Emoji(root=str(tmp_path), image_size=8, reference_fraction=0.25, templates=["{}, of {group}"], limit=None)
    rows = data.read()
    assert rows.captions is not None
    colours = dict(zip(rows.captions.texts(), rows.images[:, :, 4, 4].tolist(), strict=True))
    assert colours == {
        "red apple, of food & drink": [255, 255, 255],
        "keycap #, of symbols": [0, 0, 255],
        "flag of Chad, of flags": [0, 255, 0],
        "ear, of people & body": [10, 20, 30],
    }
    words = [data.classes[label] for label in rows.labels]
    assert all(text.endswith(word) for text, word in zip(rows.captions.texts(), words, strict=True))
    assert set(rows.captions.table) <= set(data.spec.vocabulary)
    assert data.spec.shape == (3, 8, 8)


def test_damaged_emoji_archives_are_refused(tmp_path: Path) -> None:
    write_emoji(tmp_path)
    (tmp_path / PICTURES).write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be read"):
        Emoji(root=str(tmp_path), reference_fraction=0.25).load()
    (tmp_path / NAMES).write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"emojibase-data-17\.0\.0\.tgz cannot be read"):
        _ = Emoji(root=str(tmp_path), reference_fraction=0.25).spec
    for text in (b"no json", b"{}"):
        write_tar(tmp_path / NAMES, {"package/en/data.json": text})
        with pytest.raises(UserError, match=r"should hold package/en/data\.json"):
            _ = Emoji(root=str(tmp_path), reference_fraction=0.25).spec
    write_tar(tmp_path / NAMES, {"package/other.json": b"[]"})
    with pytest.raises(UserError, match=r"should hold package/en/data\.json"):
        _ = Emoji(root=str(tmp_path), reference_fraction=0.25).spec
