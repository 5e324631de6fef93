import gzip
import io
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collapse_lab.errors import UserError
from collapse_lab.storage import archives, fetch
from collapse_lab.storage.archives import content, copy_members, members, open_tar
from collapse_lab.storage.fetch import Package, obtain
from collapse_lab.storage.files import checksum
from tests.datasets.archives import write_tar

FILES = {"package/a.txt": b"hello", "package/b.txt": bytes(5000)}


def write_zip(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, raw in files.items():
            zipped.writestr(name, raw)


def write_link(path: Path, kind: bytes, target: str) -> None:
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("package/a.txt")
        info.type, info.linkname = kind, target
        tar.addfile(info)


WRITERS: list[tuple[Callable[[Path, dict[str, bytes]], None], str]] = [(write_tar, "x.tgz"), (write_zip, "x.whl")]


@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_members_are_copied_to_the_files_that_the_caller_names(
    tmp_path: Path, write: Callable[[Path, dict[str, bytes]], None], name: str
) -> None:
    write(tmp_path / name, FILES)
    copy_members(tmp_path / name, {"package/b.txt": tmp_path / "out"})
    assert (tmp_path / "out").read_bytes() == FILES["package/b.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "out"])


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", ""])
def test_every_compression_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "x.tar"
    mode: Any = f"w:{suffix}"
    with tarfile.open(path, mode) as tar:
        info = tarfile.TarInfo("a.txt")
        info.size = 5
        tar.addfile(info, io.BytesIO(b"hello"))
    with open_tar(path) as tar:
        assert [(str(name), content(tar, member)) for name, member in members(tar, path)] == [("a.txt", b"hello")]


@pytest.mark.parametrize(("write", "name"), WRITERS)
@pytest.mark.parametrize("escape", ["../a.txt", "/a.txt", "package/../../a.txt"])
def test_a_member_outside_the_folder_is_refused(
    tmp_path: Path, write: Callable[[Path, dict[str, bytes]], None], name: str, escape: str
) -> None:
    write(tmp_path / name, {escape: b"stolen", **FILES})
    with pytest.raises(UserError, match="holds a file outside its own folder"):
        copy_members(tmp_path / name, {"package/a.txt": tmp_path / "out"})


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_no_files(tmp_path: Path, kind: bytes) -> None:
    write_link(tmp_path / "x.tar", kind, "/etc/passwd")
    with pytest.raises(UserError, match="does not hold what it should"):
        copy_members(tmp_path / "x.tar", {"package/a.txt": tmp_path / "out"})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("bound", "value"), [("MOST_MEMBERS", 1), ("LARGEST", 4000), ("LARGEST_MEMBER", 4000)])
@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_bounds_on_number_and_size_are_kept(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Path, dict[str, bytes]], None],
    name: str,
    bound: str,
    value: int,
) -> None:
    write(tmp_path / name, FILES)
    monkeypatch.setattr(archives, bound, value)
    with pytest.raises(UserError, match=f"holds more than {value} .*replace it"):
        copy_members(tmp_path / name, {"package/b.txt": tmp_path / "out"})
    assert not (tmp_path / "out").exists()


def test_a_long_header_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 2**31
    path = tmp_path / "x.tgz"
    path.write_bytes(gzip.compress(info.tobuf() + bytes(10_000_000)))
    read: list[int] = []
    inner = gzip.GzipFile.read

    def counted(self: gzip.GzipFile, size: int = -1) -> bytes:
        read.append(size)
        return inner(self, size)

    monkeypatch.setattr(gzip.GzipFile, "read", counted)
    with pytest.raises(UserError, match="bytes in one member"), open_tar(path) as tar:
        list(members(tar, path))
    assert max(read) <= 512


def test_headers_that_extend_each_other_endlessly_are_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 512
    path = tmp_path / "x.tar"
    path.write_bytes((info.tobuf() + b"name".ljust(512, b"\0")) * 5000)
    with pytest.raises(UserError, match="cannot be read"), open_tar(path) as tar:
        list(members(tar, path))


@pytest.mark.parametrize(
    "raw",
    [b"", b"no archive", gzip.compress(b"no archive", mtime=0), b"\x1f\x8bno gzip", b"BZhno", b"PK"],
    ids=["empty", "text", "compressed text", "broken gzip", "broken bzip2", "broken zip"],
)
@pytest.mark.parametrize("name", ["x.tgz", "x.whl"])
def test_what_is_no_archive_is_refused(tmp_path: Path, raw: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(UserError, match="does not hold what it should"):
        copy_members(tmp_path / name, {"a": tmp_path / "out"})


def deb(folder: Path) -> Path:
    tree = folder / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        "Package: words\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: words\n"
    )
    (tree / "usr" / "share").mkdir(parents=True)
    (tree / "usr" / "share" / "file.txt").write_bytes(b"hello" * 1000)
    subprocess.run(["dpkg-deb", "--build", "tree", "words.deb"], cwd=folder, check=True, capture_output=True)
    return folder / "words.deb"


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="the program dpkg-deb is not installed")
def test_a_debian_package_is_read_within_the_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = deb(tmp_path)

    def download(_: Package, folder: Path) -> Path:
        return Path(shutil.copy(built, folder))

    monkeypatch.setattr(fetch, "_download", download)
    package = Package("apt", "words", "", "usr/share", {"file.txt": checksum(tmp_path / "tree/usr/share/file.txt")})
    with monkeypatch.context() as patch:
        patch.setattr(archives, "LARGEST", 4000)
        with pytest.raises(UserError, match="holds more than 4000 bytes when it is unpacked"):
            obtain(package, tmp_path / "small")
    assert obtain(package, tmp_path / "cache")["file.txt"].read_bytes() == b"hello" * 1000
