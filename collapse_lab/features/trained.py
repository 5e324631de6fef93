"""What the feature extractors that are trained here, on the real data, share: training, weights, features, classes."""

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

from collapse_lab.engine import lightning
from collapse_lab.engine.ahead import Drawing
from collapse_lab.errors import UserError
from collapse_lab.features.frozen import stacked
from collapse_lab.features.network import FeatureNetwork, jittered
from collapse_lab.images import as_float
from collapse_lab.nn.spans import spans
from collapse_lab.seeds import Seeds
from collapse_lab.types import (
    Budget,
    Checkpointing,
    Count,
    FeatureSet,
    Positive,
    Progress,
    RealData,
    Rows,
    Samples,
    Spec,
    Whole,
)

ROWS = 1024  # rows of one batch of extraction


@dataclass(eq=False)
class TrainedClassifier(ABC):
    """phi(x) of logits = head(phi(x)), minimising E[-log p(label | x)] over augmented training rows.

    Features are (n, d) float32, and `predicted` is the class of the largest logit. The extractor is trained from its
    own `seed` and not from the run's, so every run on a data set measures with the same network.

    Args:
        spec: The data set, of images with classes.
        steps: The number of training steps.
        batch_size: The number of rows of a training batch.
        lr: The largest learning rate of the one-cycle schedule; above 0.
        seed: The seed of the weights, the batches and the augmentation.
        device: Where the network is trained and used.
        name: The name in messages and in the fingerprint.

    Raises:
        UserError: the data set has no classes, or its samples are no images.
    """

    version: ClassVar[int] = 1
    gathers: ClassVar[bool] = True
    resumes: ClassVar[bool] = True
    resize: ClassVar[str | None] = None
    provides: ClassVar[frozenset[str]] = frozenset({"predicted"})

    spec: Spec
    _: KW_ONLY
    steps: Count = 400
    batch_size: Count = 128
    lr: Positive = 4e-3
    seed: Whole = 0
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
        self.held_out_accuracy: float | None = None
        self._seeds = Seeds(self.seed, 0, self.name, "classifier")
        channels, height, width = spec.shape
        with self._seeds.child("initial").scoped():
            self._network = self.untrained((channels, height, width), len(spec.classes)).to(self.device)

    @abstractmethod
    def untrained(self, shape: tuple[int, int, int], classes: int) -> FeatureNetwork:
        """Return the network with fresh weights.

        Args:
            shape: The shape (c, h, w) of an image.
            classes: The number of classes.
        """

    def fit(self, real: RealData[Rows], progress: Progress, checkpoint: Checkpointing | None = None) -> None:
        """Train on `real.train`, then measure the accuracy on `real.reference`.

        Raises:
            UserError: no row has a label, or a label is none of the data set's classes.
            Diverged: the loss is not finite.
        """
        images, labels = self._labelled(real.train)
        module = _Training(self._network, images, labels, self.lr, self.steps, self._seeds)
        budget = Budget(self.steps, self.batch_size, gradient_clip=None, device=torch.device(self.device).type)
        progress.start(0, self.name, "features", self.steps)
        batches = _WholeBatches(len(labels), budget, self._seeds)
        lightning.fit(module, batches, budget, progress, checkpoint=checkpoint)
        progress.stop()
        self._network.to(self.device)  # because Lightning leaves a network on the CPU
        # The store holds float32, so round the accuracy to what will be read back
        self.held_out_accuracy = float(np.float32(self._accuracy(real.reference)))

    def weights(self) -> dict[str, Tensor]:
        """Return the network's tensors and `held_out_accuracy`.

        Raises:
            UserError: the extractor is neither trained nor loaded.
        """
        tensors = {key: value.detach().cpu().clone() for key, value in self._network.state_dict().items()}
        return {**tensors, "held_out_accuracy": torch.tensor(self._fitted(), dtype=torch.float32)}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take over what `weights` returned.

        Raises:
            UserError: the weights are those of another network.
        """
        tensors = dict(weights)
        try:
            self.held_out_accuracy = float(tensors.pop("held_out_accuracy"))
            self._network.load_state_dict(tensors)
        except (KeyError, RuntimeError) as error:
            raise UserError(f"these are not the weights of features '{self.name}': {error}") from error

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Return what the features depend on; the SHA-256 is over names and values of the weights."""
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

    def extract(self, samples: Samples[Rows]) -> FeatureSet:
        """Return phi(x) of each sample, and the class that the network reads it as.

        Raises:
            UserError: the extractor is neither trained nor loaded, or the images have another shape.
        """
        self._fitted()
        values = self._embed(samples)
        predicted = self._logits(values).argmax(1)
        return FeatureSet(values, torch.from_numpy(samples.labels), predicted)

    def log_probabilities(self, samples: Samples[Rows]) -> Float[Tensor, "n classes"]:
        """Return log p(class | x) for each sample and class.

        Raises:
            UserError: the extractor is neither trained nor loaded, or the images have another shape.
        """
        self._fitted()
        return self._logits(self._embed(samples)).log_softmax(1)

    def _fitted(self) -> float:
        if self.held_out_accuracy is None:
            raise UserError(f"features '{self.name}' have neither been trained nor loaded")
        return self.held_out_accuracy

    @torch.inference_mode()
    def _embed(self, samples: Samples[Rows]) -> Float[Tensor, "n d"]:
        if tuple(samples.data.shape[1:]) != self.spec.shape:
            raise UserError(
                f"features '{self.name}' expect images {self.spec.shape}, not {tuple(samples.data.shape[1:])}"
            )
        self._network.eval()
        batches = (samples.data[span] for span in spans(len(samples), ROWS))
        return stacked((self._network.embed(as_float(batch).to(self.device)).cpu() for batch in batches), len(samples))

    @torch.inference_mode()
    def _logits(self, values: Float[Tensor, "n d"]) -> Float[Tensor, "n classes"]:
        logits: Tensor = self._network.head(values.to(self.device)).cpu()
        return logits

    def _accuracy(self, held_out: Samples[Rows]) -> float:
        labels = torch.from_numpy(held_out.labels)
        known = labels >= 0
        if not bool(known.any()):
            raise UserError(f"features '{self.name}' need held-out rows with labels, and none has one")
        hits = self._logits(self._embed(held_out)).argmax(1) == labels
        return float(hits[known].double().mean())

    def _labelled(self, samples: Samples[Rows]) -> tuple[Rows, Int[Tensor, " n"]]:
        labels = torch.from_numpy(samples.labels)
        known = labels >= 0
        if not bool(known.any()):
            raise UserError(f"features '{self.name}' need rows with labels, and no training row has one")
        if int(labels.max()) >= len(self.spec.classes):
            raise UserError(f"label {int(labels.max())} is none of the {len(self.spec.classes)} classes")
        return samples.data.index_select(0, torch.nonzero(known)[:, 0]), labels[known]


class _Training(Drawing):
    """Train a network to classify augmented images, by AdamW under a one-cycle schedule of the learning rate.

    The optimisation is fixed and part of an extractor's `version`: it measures, and no experiment changes it.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        images: Rows,
        labels: Int[Tensor, " n"],
        lr: float,
        steps: int,
        seeds: Seeds,
    ) -> None:
        super().__init__()
        self.network = network.train()
        self.images, self._labels, self._lr, self._steps = images, labels, lr, steps
        self._jitter = seeds.child("augmentation").torch()

    def drawing_streams(self) -> dict[str, torch.Generator]:
        """Return the generator of the augmentation."""
        return {"augmentation": self._jitter}

    def training_step(self, rows: Tensor) -> Tensor:
        """Return the loss of the rows with these numbers."""
        images, labels = self.drawn(rows)
        return nn.functional.cross_entropy(self.network(images), labels, label_smoothing=0.05)

    def draw(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the augmented images with these numbers, (n, c, h, w), and their labels (n,), on the CPU."""
        return jittered(as_float(self.images[rows]), self._jitter), self._labels[rows]

    def configure_optimizers(self) -> Any:
        """Return AdamW and its schedule in the form that Lightning takes."""
        optimiser = torch.optim.AdamW(self.parameters(), lr=self._lr, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, self._lr, total_steps=self._steps + 1)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _WholeBatches:
    """Yield batches of row numbers from one random permutation after another; what is left of each is dropped."""

    def __init__(self, n: int, budget: Budget, seeds: Seeds) -> None:
        self._n, self._budget, self._seeds = n, budget, seeds

    def __len__(self) -> int:
        return self._budget.steps

    def __iter__(self) -> Iterator[Int[Tensor, " b"]]:
        generator = self._seeds.child("order").torch()
        size = min(self._budget.batch_size, self._n)
        batches: list[Tensor] = []
        for _ in range(self._budget.steps):
            if not batches:
                order = torch.randperm(self._n, generator=generator)
                batches = list(torch.split(order[: self._n // size * size], size))
            yield batches.pop(0)
