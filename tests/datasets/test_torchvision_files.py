import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets as published

from collapse_lab.datasets.cifar10 import BATCHES, CIFAR10
from collapse_lab.datasets.fashion_mnist import FashionMNIST
from collapse_lab.datasets.mnist import MNIST
from collapse_lab.datasets.torchvision_files import TorchvisionDataset
from collapse_lab.errors import UserError
from collapse_lab.types import RealData
from tests.datasets.archives import cifar_pictures, write_cifar_png, write_idx, write_mnist


def write_torchvision_mnist(root: Path, kind: type[MNIST], suffix: str = "") -> Path:
    raw = root / kind.torchvision_folder
    raw.mkdir(parents=True)
    write_mnist(raw, suffix=suffix)
    return raw


def write_pickle(path: Path, content: object) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


def write_torchvision_cifar(root: Path, n: int = 10) -> Path:
    """Write the pictures and labels of `write_cifar_png` as pickled batches."""
    folder = root / CIFAR10.torchvision_folder
    folder.mkdir()
    for i, name in enumerate(BATCHES):
        batch = {"data": cifar_pictures(n, i).reshape(n, -1), "labels": [k % 10 for k in range(n)]}
        write_pickle(folder / name, batch)
    write_pickle(folder / "batches.meta", {"label_names": list(CIFAR10().classes)})
    return folder


def plain_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "plain"
    folder.mkdir()
    return folder


def assert_same(left: RealData, right: RealData) -> None:
    for a, b in ((left.train, right.train), (left.reference, right.reference)):
        assert a.data.dtype == b.data.dtype == torch.uint8
        assert a.data.is_contiguous()
        assert torch.equal(a.data, b.data)
        assert a.labels.dtype == b.labels.dtype == np.int64
        assert a.labels.tolist() == b.labels.tolist()
        assert a.captions.texts() == b.captions.texts()


def count_readings(monkeypatch: pytest.MonkeyPatch, name: str) -> list[bool]:
    """Record the argument `train` of every object of a torchvision class, which stays the class that reads."""
    original = getattr(published, name)
    splits: list[bool] = []

    def recorded(root: str, *, train: bool, download: bool) -> object:
        assert not download
        splits.append(train)
        return original(root, train=train, download=download)

    monkeypatch.setattr(published, name, recorded)
    return splits


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST])
def test_torchvision_reads_the_same_mnist_rows_as_our_reader(
    tmp_path: Path, root: Path, kind: type[MNIST], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = plain_folder(tmp_path)
    write_mnist(plain)
    write_torchvision_mnist(root, kind)
    splits = count_readings(monkeypatch, kind.__name__)
    ours = kind(root=str(plain), templates=["a {}"])
    theirs = kind(root=str(root), templates=["a {}"])
    assert_same(theirs.load(), ours.load())
    assert splits == [True, False]
    assert theirs.key == ours.key


def test_gzipped_mnist_in_the_folder_of_torchvision_is_read_by_our_reader(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = plain_folder(tmp_path)
    write_mnist(plain, suffix=".gz")
    raw = write_torchvision_mnist(root, MNIST, suffix=".gz")
    splits = count_readings(monkeypatch, "MNIST")
    assert_same(MNIST(root=str(root)).load(), MNIST(root=str(plain)).load())
    assert splits == []
    # torchvision leaves both spellings there after a download, and reads the uncompressed files
    key = MNIST(root=str(root)).key
    write_mnist(raw)
    both = MNIST(root=str(root))
    assert_same(both.load(), MNIST(root=str(plain)).load())
    assert splits == [True, False]
    assert both.key != key


def test_old_processed_files_of_torchvision_are_not_read(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = plain_folder(tmp_path)
    write_mnist(plain)
    raw = write_torchvision_mnist(root, MNIST)
    (raw.parent / "processed").mkdir()
    for name in ("training.pt", "test.pt"):
        torch.save((torch.zeros(2, 28, 28, dtype=torch.uint8), torch.zeros(2)), raw.parent / "processed" / name)
    splits = count_readings(monkeypatch, "MNIST")
    data = MNIST(root=str(root))
    assert_same(data.load(), MNIST(root=str(plain)).load())
    assert splits == []
    assert data.key == MNIST(root=str(plain)).key


def test_plain_files_in_the_root_come_before_the_folder_of_torchvision(root: Path) -> None:
    write_torchvision_mnist(root, MNIST)
    write_mnist(root, n=50)
    assert len(MNIST(root=str(root)).load().train) == 50


def test_torchvision_reads_the_same_cifar_rows_as_the_package_reader(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = plain_folder(tmp_path)
    write_cifar_png(plain)
    write_torchvision_cifar(root)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, md5=None: Path(path).is_file())
    splits = count_readings(monkeypatch, "CIFAR10")
    arguments = {"templates": ["a {}"], "only": ["bird", "cat"]}
    theirs = CIFAR10(root=str(root), **arguments)  # type: ignore[arg-type]
    assert_same(theirs.load(), CIFAR10(root=str(plain), **arguments).load())  # type: ignore[arg-type]
    assert_same(CIFAR10(root=str(root)).load(), CIFAR10(root=str(plain)).load())
    assert splits == [True, False] * 2
    key = theirs.key
    write_pickle(
        root / CIFAR10.torchvision_folder / "test_batch", {"data": np.zeros((1, 3072), np.uint8), "labels": [0]}
    )
    assert CIFAR10(root=str(root), **arguments).key != key  # type: ignore[arg-type]


class Trap:
    """Pickle to code that writes a file when the pickle is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path, str]]:
        return Path.write_text, (self.path, "opened")


@pytest.mark.parametrize("name", [*BATCHES, "batches.meta"])
def test_no_pickle_with_a_wrong_md5_checksum_is_opened(tmp_path: Path, root: Path, name: str) -> None:
    folder = write_torchvision_cifar(root)
    trap = tmp_path / "trap"
    write_pickle(folder / name, Trap(trap))
    with pytest.raises(
        UserError, match=r"torchvision cannot read .*cifar-10-batches-py \(Dataset not found or corrupted"
    ):
        CIFAR10(root=str(root)).load()
    assert not trap.exists()
    pickle.loads((folder / name).read_bytes())
    assert trap.exists()  # the trap does work


def test_class_names_with_a_wrong_md5_checksum_are_not_opened_beside_right_batches(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_torchvision_cifar(root)
    trap = tmp_path / "trap"
    write_pickle(folder / "batches.meta", Trap(trap))
    monkeypatch.setattr(published.CIFAR10, "_check_integrity", lambda self: True)
    with pytest.raises(UserError, match="metadata file not found or corrupted"):
        CIFAR10(root=str(root)).load()
    assert not trap.exists()


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST, CIFAR10])
def test_a_missing_file_in_the_folder_of_torchvision_is_named(root: Path, kind: type[TorchvisionDataset]) -> None:
    (root / kind.torchvision_folder).mkdir(parents=True)
    with pytest.raises(UserError, match=rf"{kind.torchvision_folder} should hold \S+ for {kind.__name__}"):
        _ = kind(root=str(root)).key


def test_damaged_mnist_files_are_refused_in_the_folder_of_torchvision(root: Path) -> None:
    raw = write_torchvision_mnist(root, MNIST)
    write_idx(raw / "t10k-labels-idx1-ubyte", np.zeros(7, np.uint8))
    with pytest.raises(UserError, match="20 pictures and 7 labels"):
        MNIST(root=str(root)).load()
    path = raw / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"torchvision cannot read .*MNIST/raw .*replace its files"):
        MNIST(root=str(root)).load()
