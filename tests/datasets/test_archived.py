import io
import logging
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from collapse_lab.datasets import archived, decoded
from collapse_lab.datasets.cub200 import CUB200
from collapse_lab.datasets.flowers102 import Flowers102
from collapse_lab.errors import UserError
from collapse_lab.storage import archives
from tests.datasets.archives import (
    bird_files,
    birds,
    encoded,
    flower_pictures,
    flowers,
    header_of,
    write_birds,
    write_files,
    write_flower_lists,
    write_flowers,
    write_tar,
)
from tests.stored import files


def test_the_message_names_a_picture_that_cannot_be_decoded(root: Path) -> None:
    write_files(root, flower_pictures() | {"jpg/image_00005.jpg": b"no picture"}, "102flowers.tgz")
    write_flower_lists(root, [1] * 12, range(7, 13))
    with pytest.raises(UserError, match=r"the picture image_00005\.jpg of .*102flowers\.tgz cannot be decoded"):
        flowers(root).load()


@pytest.mark.parametrize("name", ["/jpg/image_00001.jpg", "jpg/../../image_00001.jpg", "../x.jpg"])
def test_an_archive_with_a_path_outside_its_folder_is_refused(root: Path, name: str) -> None:
    write_flowers(root)
    write_tar(root / "102flowers.tgz", flower_pictures() | {name: encoded((1, 2, 3), form="JPEG")})
    with pytest.raises(UserError, match="holds a file outside its own folder"):
        flowers(root).load()


def test_a_link_in_an_archive_does_not_count_as_a_picture(root: Path) -> None:
    write_flowers(root)
    with tarfile.open(root / "102flowers.tgz", "w:gz") as tar:
        for name, raw in flower_pictures().items():
            info = tarfile.TarInfo(name)
            if name.endswith("3.jpg"):
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            info.size = 0 if info.issym() else len(raw)
            tar.addfile(info, io.BytesIO(raw))
    with pytest.raises(UserError, match=r"1 are missing, the first image_00003\.jpg"):
        flowers(root).load()


def test_a_damaged_archive_is_refused(root: Path) -> None:
    write_flowers(root)
    path = root / "102flowers.tgz"
    intact = path.read_bytes()
    for raw in (intact[: len(intact) // 2], b"no archive", b"", intact[:-300] + b"\0" * 300):
        path.write_bytes(raw)
        with pytest.raises(UserError, match=r"102flowers\.tgz (cannot be read|should hold the 12 pictures)"):
            flowers(root).load()


def test_an_archive_that_holds_a_file_twice_is_refused(root: Path) -> None:
    write_flowers(root)
    with tarfile.open(root / "102flowers.tgz", "w") as tar:
        for _ in range(2):
            tar.addfile(tarfile.TarInfo("jpg/image_00001.jpg"))
    with pytest.raises(UserError, match=r"holds jpg/image_00001\.jpg twice"):
        flowers(root).load()


@pytest.mark.parametrize("as_archive", [True, False])
def test_hidden_files_are_left_out(root: Path, as_archive: bool) -> None:
    write_flowers(root, as_archive)
    hidden = {"jpg/._image_00001.jpg": b"of a Mac", "jpg/.thumbs/image_00001.jpg": b"of a viewer"}
    write_files(root, flower_pictures() | hidden, "102flowers.tgz" if as_archive else None)
    assert len(flowers(root).read().labels) == 12


def fail(*args: object) -> np.ndarray:
    raise AssertionError(f"decoded again: {args}")


WRITERS: list[tuple[Callable[[Path], None], Callable[..., CUB200 | Flowers102]]] = [
    (write_flowers, flowers),
    (write_birds, birds),
]


@pytest.mark.parametrize(("write", "make"), WRITERS, ids=["flowers", "birds"])
def test_pictures_are_decoded_once(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Path], None],
    make: Callable[..., CUB200 | Flowers102],
) -> None:
    write(root)
    first = make(root).load()
    monkeypatch.setattr(archived, "read_picture", fail)
    again = make(root, reference_fraction=0.5, only=[0, 1], templates=["{}"], limit=2)
    assert again.spec.classes == make(root).classes[:2]
    assert len(again.load().train) == 2
    second = make(root).load()
    assert (second.train.data == first.train.data).all()
    assert second.reference.labels.tolist() == first.reference.labels.tolist()
    with pytest.raises(AssertionError, match="decoded again"):
        make(root, image_size=9).load()
    if make is birds:
        with pytest.raises(AssertionError, match="decoded again"):
            make(root, margin=0.3).load()


def test_an_interrupted_decoding_leaves_no_cached_arrays(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_flowers(root)

    def full(path: Path) -> None:
        raise OSError(28, f"no space for {path}")

    with monkeypatch.context() as patch:
        patch.setattr(decoded, "sync", full)
        with pytest.raises(UserError, match=r"cache .* cannot be written \(no space for .*paths\.data"):
            flowers(root).load()
    shelf = root.parent / "cache" / "decoded"
    assert [path.suffix for path in shelf.iterdir()] == [".lock"]
    assert len(flowers(root).load().train) == 6


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def pixels_of(path: Path) -> Path:
    return path.with_suffix(".npy")


def with_other_pictures(path: Path) -> None:
    """Change a pixel and write the file of pixels anew, so that its header agrees with it."""
    changed = np.load(pixels_of(path))
    changed[0, 0, 0, 0] ^= 1
    np.save(pixels_of(path), changed)


def with_fewer_pictures(path: Path) -> None:
    raw = pixels_of(path).read_bytes()
    pixels_of(path).write_bytes(raw[: len(raw) // 2])


def without_pictures(path: Path) -> None:
    pixels_of(path).unlink()


def with_other_labels(path: Path) -> None:
    with np.load(path) as arrays:
        changed = dict(arrays)
    changed["labels"] = changed["labels"][::-1]
    np.savez(path, **changed)


def of_an_earlier_version(path: Path) -> None:
    with np.load(path) as arrays:
        changed = {name: array for name, array in arrays.items() if name != "sha256"}
    np.savez(path, **changed)


def with_a_pickle(path: Path) -> None:
    with np.load(path) as arrays:
        changed = dict(arrays)
    changed["labels"] = np.array([print], object)
    np.savez(path, **changed)


def as_one_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def empty(path: Path) -> None:
    path.write_bytes(b"")


SPOILERS = [
    truncated,
    with_other_pictures,
    with_fewer_pictures,
    without_pictures,
    with_other_labels,
    of_an_earlier_version,
    with_a_pickle,
    as_one_array,
    empty,
]


@pytest.mark.parametrize("spoil", SPOILERS)
def test_cached_arrays_that_were_changed_are_noticed_and_made_anew(
    root: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], None]
) -> None:
    write_flowers(root)
    first = flowers(root).load()
    (cached,) = (root.parent / "cache" / "decoded").glob("*.npz")
    intact = files(cached.parent)
    spoil(cached)
    assert files(cached.parent) != intact
    again = flowers(root, templates=["{}"])
    assert len(again.spec.classes) == 102
    for rows, expected in ((again.load().train, first.train), (again.load().reference, first.reference)):
        assert (rows.data == expected.data).all()
        assert rows.labels.tolist() == expected.labels.tolist()
    assert any(
        f"{cached.with_suffix('')}.np" in message and "failed its check" in message for message in caplog.messages
    )
    assert files(cached.parent) == intact
    caplog.clear()
    flowers(root).load()
    assert caplog.messages == []


def test_cached_arrays_of_other_arguments_are_not_taken(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_birds(root)
    shelf = root.parent / "cache" / "decoded"
    birds(root).load()
    (box,) = shelf.glob("*.npz")
    centre = birds(root, crop="centre")
    expected = centre.load().train.data
    (other,) = set(shelf.glob("*.npz")) - {box}
    other.write_bytes(box.read_bytes())
    assert (birds(root, crop="centre").load().train.data == expected).all()
    assert "failed its check" in caplog.text


@pytest.mark.parametrize("as_archive", [True, False])
def test_a_picture_of_too_many_pixels_is_refused_by_name(root: Path, as_archive: bool) -> None:
    files = flower_pictures() | {"jpg/image_00005.jpg": header_of(30_000, 30_000)}
    write_files(root, files, "102flowers.tgz" if as_archive else None)
    write_flower_lists(root, [1] * 12, range(7, 13))
    with pytest.raises(UserError, match=r"the picture image_00005\.jpg of .* cannot be decoded"):
        flowers(root).load()


def test_an_archive_beyond_the_bounds_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_flowers(root)
    for bound, value in (("MOST_MEMBERS", 11), ("LARGEST", 5000), ("LARGEST_MEMBER", 600)):
        with monkeypatch.context() as patch:
            patch.setattr(archives, bound, value)
            with pytest.raises(UserError, match=rf"102flowers\.tgz holds more than {value} .*replace it"):
                flowers(root).load()
    assert len(flowers(root).load().train) == 6


def test_the_key_changes_with_the_files_but_not_with_the_folder(root: Path) -> None:
    write_birds(root)
    key = birds(root).key
    moved = root.rename(root.with_name("moved"))
    assert birds(moved, cache="elsewhere").key == key
    write_birds(moved, files=bird_files(n=6))
    assert birds(moved).key != key
    assert len({birds(moved).key, birds(moved, margin=0.5).key, birds(moved, crop="centre").key}) == 3


def test_the_key_of_an_extracted_archive_changes_with_sizes_times_and_lists(root: Path) -> None:
    write_flowers(root, as_archive=False)
    keys = {flowers(root).key}
    os.utime(root / "jpg" / "image_00001.jpg", ns=(1, 1))
    keys.add(flowers(root).key)
    write_flower_lists(root, [1] * 12, range(7, 13))
    keys.add(flowers(root).key)
    assert len(keys) == 3


def test_a_second_process_waits_for_the_cached_arrays_and_says_so(
    root: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_flowers(root)
    flowers(root).load()
    (cached,) = (root.parent / "cache" / "decoded").glob("*.npz")
    arrays = cached.read_bytes()
    cached.unlink()
    other = FileLock(cached.with_suffix(".lock"))
    other.acquire()
    data = flowers(root)
    monkeypatch.setattr(archived, "read_picture", fail)

    def finish(record: logging.LogRecord) -> bool:
        cached.write_bytes(arrays)
        other.release()
        return True

    with monkeypatch.context() as patch:
        patch.setattr(decoded.log, "filters", [finish])
        assert len(data.load().train) == 6
    assert caplog.messages == ["waiting for another process that is decoding the pictures of Flowers102"]


def test_what_an_interrupted_decoding_left_is_written_over(root: Path) -> None:
    write_flowers(root)
    shelf = root.parent / "cache" / "decoded"
    expected = flowers(root).load().train.data
    (block,) = shelf.glob("*.npy")
    block.with_name(f".{block.name}").write_bytes(b"a part")
    block.unlink()
    assert (flowers(root).load().train.data == expected).all()
    assert sorted(path.suffix for path in shelf.iterdir()) == [".lock", ".npy", ".npz"]
