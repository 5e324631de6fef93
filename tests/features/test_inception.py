from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from collapse_lab.datasets.cifar10 import CIFAR10
from collapse_lab.errors import UserError
from collapse_lab.features import inception as module
from collapse_lab.features.inception import OFFICIAL_SHA256, Inception, from_the_origin
from collapse_lab.metrics.fid import frechet_distance
from collapse_lab.storage.files import checksum
from collapse_lab.types import Samples, Spec
from tests.features.cases import noise
from tests.features.cleanfid_folder import (
    OFFICIAL,
    folder_features,
    frechet,
    pytorch_network,
    torchscript_network,
    write_pictures,
)

COLOUR = Spec("image", (3, 20, 28), ("a", "b"))
GREY = Spec("image", (1, 16, 16))


class Wrapped(nn.Module):
    """Wrap a network as the package does."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out


class RandomFilters(nn.Module):
    """Hold a few random filters in place of the layers of Inception."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Conv2d(3, 2048, 16, 64), nn.ReLU(), nn.AdaptiveAvgPool2d(1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "standin.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Wrapped(RandomFilters())).save(path)  # type: ignore[no-untyped-call]
    return path


def inception(weights: Path, spec: Spec = COLOUR, **arguments: object) -> Inception:
    arguments = {"sha256": checksum(weights) if weights.exists() else None, **arguments}
    return Inception(spec, weights=str(weights), **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("spec", [COLOUR, GREY], ids=["colour", "grey"])
def test_clean_features_agree_with_clean_fid(spec: Spec, weights: Path, tmp_path: Path) -> None:
    rows = noise(spec, 7)
    write_pictures(tmp_path / "pictures", rows.data)
    theirs = folder_features(tmp_path / "pictures", torchscript_network(weights, tmp_path), "clean")
    ours = inception(weights, spec, batch_size=3).extract(rows).values
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-5, atol=1e-6)


def test_legacy_pytorch_features_agree_with_clean_fid(weights: Path, tmp_path: Path) -> None:
    rows = noise(COLOUR, 4)
    write_pictures(tmp_path / "pictures", rows.data)
    layers = RandomFilters().layers
    theirs = folder_features(tmp_path / "pictures", lambda x: layers(2 * (x / 255) - 1).flatten(1), "legacy_pytorch")
    ours = inception(weights, mode="legacy_pytorch").extract(rows).values
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("height", "width", "side"), [(20, 28, 299), (32, 32, 299), (64, 40, 24), (8, 8, 8)])
def test_tensorflow_resizing_agrees_with_torch_fidelity(height: int, width: int, side: int) -> None:
    image = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0)) * 255
    theirs = interpolate_bilinear_2d_like_tensorflow1x(image[None], (side, side), align_corners=False)[0]
    # Both round each coordinate to eps of the image's size, and a value changes by 255 at most from pixel to pixel
    bound = torch.finfo(torch.float32).eps * (height + width) * 255
    torch.testing.assert_close(from_the_origin(image, side), theirs, rtol=0, atol=bound)


def test_modes_differ_in_values_and_fingerprints(weights: Path) -> None:
    rows = noise(COLOUR, 2)
    extractors = [inception(weights, mode=mode) for mode in ("clean", "legacy_pytorch", "legacy_tensorflow")]
    values = [extractor.extract(rows).values for extractor in extractors]
    assert len({extractor.fingerprint["resize"] for extractor in extractors}) == 3
    assert not any(torch.allclose(values[i], values[j], rtol=1e-3) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_uint8_and_float_images_give_equal_features(weights: Path) -> None:
    rows = noise(COLOUR, 3)
    floats = Samples(rows.data.float() / 127.5 - 1, rows.labels)
    assert torch.equal(inception(weights).extract(rows).values, inception(weights).extract(floats).values)


def test_rows_keep_their_order_and_labels_in_every_batch_size(weights: Path) -> None:
    rows = noise(COLOUR, 11)
    one_batch = inception(weights, batch_size=11).extract(rows)
    many_batches = inception(weights, batch_size=2).extract(rows)
    torch.testing.assert_close(many_batches.values, one_batch.values, rtol=1e-5, atol=1e-6)
    assert many_batches.labels.tolist() == rows.labels.tolist()


def test_the_fingerprint_names_the_weights(weights: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.pt"
    copy.write_bytes(weights.read_bytes())
    assert inception(copy).fingerprint == inception(weights).fingerprint
    copy.write_bytes(weights.read_bytes() + b"\0")
    assert inception(copy).fingerprint != inception(weights).fingerprint


def test_nothing_is_read_before_it_is_needed(tmp_path: Path) -> None:
    Inception(COLOUR, cache=str(tmp_path / "absent"))
    Inception(COLOUR, weights="download", cache=str(tmp_path / "absent"))
    assert not (tmp_path / "absent").exists()


def test_the_official_file_is_fetched_once_and_completely(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def fetch(folder: str) -> str:
        calls.append(folder)
        path = Path(folder, OFFICIAL)
        path.write_bytes(weights.read_bytes() if len(calls) > 1 else b"the beginning")
        if len(calls) == 1:
            raise OSError("the line is dead")
        return str(path)

    monkeypatch.setattr("cleanfid.downloads_helper.check_download_inception", fetch)
    monkeypatch.setattr(module, "OFFICIAL_SHA256", checksum(weights))
    rows = noise(COLOUR, 2)
    with pytest.raises(UserError, match="cannot be fetched"):
        Inception(COLOUR, weights="download", cache=str(tmp_path)).extract(rows)
    for _ in range(2):
        extracted = Inception(COLOUR, weights="download", cache=str(tmp_path)).extract(rows)
        assert torch.equal(extracted.values, inception(weights).extract(rows).values)
    assert len(calls) == 2


def never_opened(*_: object, **__: object) -> None:
    raise AssertionError("a file that nobody vouches for was opened")


def test_a_download_with_another_checksum_is_not_opened_and_not_kept(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(folder: str) -> str:
        path = Path(folder, OFFICIAL)
        path.write_bytes(weights.read_bytes())
        return str(path)

    monkeypatch.setattr("cleanfid.downloads_helper.check_download_inception", fetch)
    monkeypatch.setattr(torch.jit, "load", never_opened)
    refusal = rf"{OFFICIAL} has SHA-256 {checksum(weights)}, expected {OFFICIAL_SHA256}"
    with pytest.raises(UserError, match=f"{refusal}.*run again"):
        Inception(COLOUR, weights="download", cache=str(tmp_path)).extract(noise(COLOUR, 2))
    kept = tmp_path / "clean-fid" / OFFICIAL
    assert not kept.exists()
    kept.write_bytes(weights.read_bytes())
    with pytest.raises(UserError, match=f"{refusal}: delete"):
        Inception(COLOUR, weights="download", cache=str(tmp_path)).extract(noise(COLOUR, 2))


def test_a_file_of_the_user_is_opened_only_by_its_checksum(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.jit, "load", never_opened)
    digest = checksum(weights)
    with pytest.raises(UserError, match=rf"has SHA-256 {digest}, not StyleGAN's .*\.inception\.sha256={digest}$"):
        Inception(COLOUR, weights=str(weights))
    with pytest.raises(UserError, match=rf"has SHA-256 {digest}, not {'0' * 64}"):
        inception(weights, sha256="0" * 64)
    with pytest.raises(UserError, match="has 64 hex digits; got abc"):
        inception(weights, sha256="abc")
    for own in (None, "download"):
        with pytest.raises(UserError, match="is the checksum of a file of your own"):
            Inception(COLOUR, weights=own, sha256=digest, cache=str(tmp_path))
    with pytest.raises(AssertionError, match="nobody vouches"):
        inception(weights, sha256=digest.upper()).open()
    monkeypatch.setattr(module, "OFFICIAL_SHA256", digest)
    with pytest.raises(AssertionError, match="nobody vouches"):
        Inception(COLOUR, weights=str(weights)).open()


def test_reading_changes_no_warning_filter(weights: Path) -> None:
    before = list(warnings.filters)
    inception(weights, mode="legacy_pytorch").extract(noise(COLOUR, 2))
    assert warnings.filters == before


def test_bad_input_is_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"images \(1 or 3, h, w\), not of tokens"):
        inception(weights, Spec("tokens", (64,)))
    with pytest.raises(UserError, match="not of tokens"):
        Inception(Spec("tokens", (64,)), weights="download")
    with pytest.raises(UserError, match="not of image"):
        inception(weights, Spec("image", (4, 8, 8)))
    with pytest.raises(UserError, match="is no file"):
        inception(tmp_path / "absent.pt")
    with pytest.raises(UserError, match=r"expect images \(n, \*\(3, 20, 28\)\), not \(2, 3, 8, 8\)"):
        inception(weights).extract(noise(Spec("image", (3, 8, 8)), 2))
    with pytest.raises(UserError, match=r"not \(0, 3, 20, 28\)"):
        inception(weights).extract(noise(COLOUR, 0))
    with pytest.raises(UserError, match="NaN"):
        inception(weights).extract(Samples(torch.full((2, 3, 20, 28), float("nan")), np.zeros(2, np.int64)))
    (tmp_path / "junk.pt").write_bytes(b"junk")
    with pytest.raises(UserError, match="cannot be read as TorchScript"):
        inception(tmp_path / "junk.pt").extract(noise(COLOUR, 2))
    torch.jit.script(nn.ReLU()).save(tmp_path / "other.pt")  # type: ignore[no-untyped-call]
    with pytest.raises(UserError, match="not of the FID Inception"):
        inception(tmp_path / "other.pt").extract(noise(COLOUR, 2))


@pytest.mark.hub
@pytest.mark.parametrize("mode", ["clean", "legacy_pytorch"])
def test_features_of_the_real_network_agree_with_clean_fid(mode: str, cache: str, tmp_path: Path) -> None:
    extractor = Inception(Spec("image", (3, 32, 32)), cache=cache, mode=mode)  # type: ignore[arg-type]
    rows = CIFAR10(cache=cache).load().reference.take(np.arange(8))
    write_pictures(tmp_path / "pictures", rows.data)
    network = torchscript_network(extractor.file, tmp_path) if mode == "clean" else pytorch_network(extractor.file)
    theirs = folder_features(tmp_path / "pictures", network, mode)
    ours = extractor.extract(rows).values.numpy()
    assert ours.shape == (8, 2048)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2e-5)


@pytest.mark.hub
@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_cifar10_train_against_test_at_2000_agrees_with_clean_fid(cache: str, tmp_path: Path) -> None:
    real = CIFAR10(cache=cache).load()
    extractor = Inception(Spec("image", (3, 32, 32)), cache=cache)
    parts = {"train": real.train.take(np.arange(2000)), "test": real.reference.take(np.arange(2000))}
    ours = frechet_distance(*(extractor.extract(rows).values for rows in parts.values()))
    network, features = torchscript_network(extractor.file, tmp_path), []
    for name, rows in parts.items():
        write_pictures(tmp_path / name, rows.data)
        features.append(folder_features(tmp_path / name, network, "clean"))
    theirs = frechet(*features)
    print(f"\nFID of CIFAR-10 train against test, n = 2000, clean: ours {ours:.6f}, clean-fid's {theirs:.6f}")
    assert ours == pytest.approx(theirs, abs=1e-3)
