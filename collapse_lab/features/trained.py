"""What feature extractors that are trained here, on the real data, share: training, weights, features, classes."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from collapse_lab.engine.seeds import Seeds
from collapse_lab.errors import Diverged, UserError
from collapse_lab.features.network import FeatureNetwork, jittered
from collapse_lab.images import as_float
from collapse_lab.types import FeatureSet, Progress, RealData, Samples, Spec

ROWS = 1024  # of one batch of extraction


@dataclass(eq=False)
class TrainedClassifier(ABC):
    """phi(x) of logits = head(phi(x)), minimising E[-log p(label | x)] over augmented training rows.

    Features (n, d) float32, with the class of the largest logit as `predicted`. Trained from its own `seed` and not the
    run's, so that every run on a data set measures with the same network.

    Raises: UserError where the data set has no classes, or its samples are no images.
    """

    version: ClassVar[int] = 1
    resize: ClassVar[str | None] = None
    sizes: ClassVar[tuple[str, ...]] = ("steps", "batch_size")  # arguments of 1 or more

    spec: Spec
    _: KW_ONLY
    steps: int = 400
    batch_size: int = 128
    lr: float = 4e-3
    seed: int = 0
    device: str = "cpu"
    name: str = "classifier"

    def __post_init__(self) -> None:
        spec = self.spec
        if not spec.classes:
            raise UserError(
                f"features '{self.name}' need a data set with classes, and this has none: use `features=[pixels]`"
            )
        if spec.modality != "image" or len(spec.shape) != 3:
            raise UserError(f"features '{self.name}' are of images (c, h, w), not of {spec.modality} {spec.shape}")
        for argument in self.sizes:
            if (value := getattr(self, argument)) < 1:
                raise UserError(f"features '{self.name}': {argument} is {value}, and has to be 1 or more")
        if not self.lr > 0:
            raise UserError(f"features '{self.name}': lr is {self.lr}, and has to be above 0")
        self.held_out_accuracy: float | None = None
        self._seeds = Seeds(self.seed, 0, self.name, "classifier")
        channels, height, breadth = spec.shape
        with self._seeds.child("initial").scoped():
            self._network = self.untrained((channels, height, breadth), len(spec.classes)).to(self.device)

    @abstractmethod
    def untrained(self, shape: tuple[int, int, int], classes: int) -> FeatureNetwork:
        """The network, with fresh weights, for images of a shape."""

    def fit(self, real: RealData, progress: Progress) -> None:
        """Train on real.train, then read off the accuracy on real.reference."""
        images, labels = self._labelled(real.train)
        optimizer = torch.optim.AdamW(self._network.parameters(), lr=self.lr, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=self.steps + 1)
        jitter = self._seeds.child("augmentation").torch()
        batches = self._batches(len(labels))
        self._network.train()
        progress.start(0, self.name, "features", self.steps)
        for step in range(self.steps):
            rows = next(batches)
            logits = self._network(jittered(images[rows], jitter).to(self.device))
            loss = nn.functional.cross_entropy(logits, labels[rows].to(self.device), label_smoothing=0.05)
            if not bool(loss.isfinite()):
                raise Diverged(f"the classifier's loss was {loss.item()} at step {step}")
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            progress.advance()
        progress.stop()
        # As it will be read back: the store holds float32
        self.held_out_accuracy = float(np.float32(self._accuracy(real.reference)))

    def weights(self) -> dict[str, Tensor]:
        """The network's tensors and `held_out_accuracy`.

        Raises:
            UserError: before `fit` or `load`.
        """
        tensors = {key: value.detach().cpu().clone() for key, value in self._network.state_dict().items()}
        return {**tensors, "held_out_accuracy": torch.tensor(self._fitted(), dtype=torch.float32)}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take over what `weights` gave.

        Raises:
            UserError: weights of another network.
        """
        tensors = dict(weights)
        try:
            self.held_out_accuracy = float(tensors.pop("held_out_accuracy"))
            self._network.load_state_dict(tensors)
        except (KeyError, RuntimeError) as error:
            raise UserError(f"these are not the weights of features '{self.name}': {error}") from error

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What the values depend on; the sha256 is over names and values of the weights."""
        digest = hashlib.sha256()
        for key, value in sorted(self.weights().items()):
            digest.update(key.encode() + value.contiguous().numpy().tobytes())
        return {
            "extractor": self.name,
            "version": self.version,
            "weights": digest.hexdigest(),
            "resize": self.resize,
            "dtype": "float32",
            "dimensions": self._network.features,
            "held_out_accuracy": self._fitted(),
            "torch": ".".join(torch.__version__.split(".")[:2]),
        }

    def extract(self, samples: Samples) -> FeatureSet:
        """Phi of `samples`, and the class that each is read as."""
        self._fitted()
        values = self._embed(samples)
        predicted = self._logits(values).argmax(1)
        return FeatureSet(values, torch.from_numpy(samples.labels), predicted)

    def log_probabilities(self, samples: Samples) -> Float[Tensor, "n classes"]:
        """Log p(class | x) for each sample and class."""
        self._fitted()
        return self._logits(self._embed(samples)).log_softmax(1)

    def _fitted(self) -> float:
        if self.held_out_accuracy is None:
            raise UserError(f"features '{self.name}' have neither been trained nor loaded")
        return self.held_out_accuracy

    @torch.inference_mode()
    def _embed(self, samples: Samples) -> Float[Tensor, "n d"]:
        if tuple(samples.data.shape[1:]) != self.spec.shape:
            raise UserError(
                f"features '{self.name}' expect images {self.spec.shape}, not {tuple(samples.data.shape[1:])}"
            )
        self._network.eval()
        batches = torch.split(samples.data, ROWS)
        return torch.cat([self._network.embed(as_float(batch).to(self.device)).cpu() for batch in batches])

    @torch.inference_mode()
    def _logits(self, values: Float[Tensor, "n d"]) -> Float[Tensor, "n classes"]:
        logits: Tensor = self._network.head(values.to(self.device)).cpu()
        return logits

    def _accuracy(self, held_out: Samples) -> float:
        labels = torch.from_numpy(held_out.labels)
        known = labels >= 0
        if not bool(known.any()):
            raise UserError(f"features '{self.name}' need held-out rows with labels, and none has one")
        hits = self._logits(self._embed(held_out)).argmax(1) == labels
        return float(hits[known].double().mean())

    def _labelled(self, samples: Samples) -> tuple[Float[Tensor, "n c h w"], Int[Tensor, " n"]]:
        labels = torch.from_numpy(samples.labels)
        known = labels >= 0
        if not bool(known.any()):
            raise UserError(f"features '{self.name}' need rows with labels, and no training row has one")
        if int(labels.max()) >= len(self.spec.classes):
            raise UserError(f"label {int(labels.max())} is none of the {len(self.spec.classes)} classes")
        return as_float(samples.data[known]), labels[known]

    def _batches(self, n: int) -> Iterator[Int[Tensor, " b"]]:
        generator = self._seeds.child("order").torch()
        size = min(self.batch_size, n)
        while True:
            order = torch.randperm(n, generator=generator)
            yield from torch.split(order[: n // size * size], size)
