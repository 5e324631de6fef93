"""The nouns of the laboratory and the protocols that everything pluggable satisfies.

A new data set, policy, family, feature space, metric, probe, curation step or sink is one file that satisfies
one of these protocols, and one yaml in `conf/` that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

if TYPE_CHECKING:  # torch takes seconds to import, and the report, --help and a finished run do without it
    from jaxtyping import Float, Int
    from torch import Tensor

    from collapse_lab.engine.seeds import Seeds

Modality = Literal["image", "points", "tokens"]
Split = Literal["train", "reference"]
Weights = Mapping[str, "Tensor"]
# Ranges of constructor arguments: `config.binding` checks them before anything is built
Count = Annotated[int, Ge(1)]
Natural = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
ProperShare = Annotated[float, Ge(0), Lt(1)]
REAL = 0  # the `source` of a real row; model k of a population is source k + 1


@dataclass(frozen=True)
class Tokens:
    """How texts are rows of tokens, and how they read.

    size: ids lie in [0, size).
    identity: SHA-256 of the tokenizer as it is serialised; that of a pretrained model has to equal it.
    decode: rows of tokens (n, length) as n texts.
    """

    size: int
    identity: str
    decode: Callable[[Tensor], list[str]]


@dataclass(frozen=True)
class Spec:
    """What a data set promises to models and feature extractors.

    shape: of one sample, e.g. (1, 8, 8) for an 8x8 grey image.
    classes: the word for each label, () where rows have no label.
    vocabulary: every distinct caption that a row or a prompt of this data set may carry, sorted.
    tokens: what rows of tokens mean, None where samples are no tokens.
    """

    modality: Modality
    shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    vocabulary: tuple[str, ...] = ()
    tokens: Tokens | None = None


@dataclass(frozen=True)
class Captions:
    """n captions as a table of distinct texts and an index (n,) into it; an empty table means no captions."""

    table: tuple[str, ...] = ()
    index: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def of(cls, texts: Sequence[str]) -> Captions:
        table, index = np.unique(np.asarray(texts, dtype=object).astype(str), return_inverse=True)
        return cls(tuple(map(str, table)), index.astype(np.int64))

    def take(self, rows: np.ndarray) -> Captions:
        return Captions(self.table, self.index[rows]) if self.table else self

    def texts(self) -> list[str]:
        return [self.table[i] for i in self.index]


@dataclass(frozen=True)
class Samples:
    """Rows of data with their conditions.

    data: (n, *shape); images are uint8 in [0, 255], channel first, quantised as a published picture is (a family
        may keep float32 in [-1, 1]); points are float64, and a row holds a point of each of R replicas, (R, d), since
        late in a chain of thousands of fits float32 costs 1e-3 of the spread that is left; tokens are int64.
    labels: (n,) int64, -1 where a row has none.
    """

    data: Tensor
    labels: np.ndarray
    captions: Captions = field(default_factory=Captions)

    def __len__(self) -> int:
        return int(self.data.shape[0])

    def take(self, rows: np.ndarray) -> Samples:
        import torch

        return Samples(self.data.index_select(0, torch.from_numpy(rows)), self.labels[rows], self.captions.take(rows))


@dataclass(frozen=True)
class RealData:
    """A real data set, split for good: rows of `reference` are never trained on."""

    train: Samples
    reference: Samples


@dataclass(frozen=True)
class Conditions:
    """What to sample: n labels (-1: none) and n prompts, fixed before anything is generated.

    context: (n, length) tokens that each sample continues, where samples are tokens.
    """

    labels: np.ndarray
    captions: Captions
    context: Int[Tensor, "n length"] | None = None

    def __len__(self) -> int:
        return int(self.labels.shape[0])


class Dataset(Protocol):
    """Real, immutable data. `key` identifies the rows (name, arguments, checksums) without reading the images."""

    @property
    def key(self) -> str: ...
    @property
    def spec(self) -> Spec: ...
    def load(self) -> RealData: ...


class PromptSet(Protocol):
    """A named set of prompts: which real rows belong to it, and which prompts are sampled for it."""

    def bind(self, spec: Spec) -> PromptSet:
        """Itself, checked against the words of a data set."""
        ...

    def member(self, samples: Samples) -> np.ndarray:
        """Boolean mask (n,): the real rows that belong to this set."""
        ...

    def conditions(self, n: int, train: Samples, spec: Spec) -> Conditions:
        """N conditions, balanced over the set and the same every time they are asked for."""
        ...


class Progress(Protocol):
    """Where the work stands. Every method is cheap enough to call on each step."""

    def start(self, generation: int, model: str, phase: str, total: int) -> None: ...
    def advance(self, steps: int = 1) -> None: ...
    def stop(self) -> None: ...


class GenerativeModel(Protocol):
    """One model of one generation, built afresh for it.

    version: raised whenever the same configuration would no longer give the same weights or samples, so that
        stale stages of the store are never taken for current ones.
    sampling_only: constructor arguments that act after training; they are left out of the key of a fit, so a
        sweep over them shares every fit of generation 0.
    """

    version: ClassVar[int]
    sampling_only: ClassVar[frozenset[str]]

    def fit(self, data: Samples, budget: Budget, seeds: Seeds, progress: Progress) -> None: ...
    def sample(self, conditions: Conditions, seeds: Seeds, progress: Progress) -> Samples: ...
    def sampling_steps(self, n: int) -> int: ...
    def weights(self) -> Weights: ...
    def load(self, weights: Weights) -> None: ...
    def to(self, device: str, /) -> object: ...


@dataclass(frozen=True)
class Budget:
    """The training budget of one fit, resolved for its generation."""

    steps: int
    batch_size: int
    precision: str = "32-true"
    gradient_clip: float | None = 1.0
    device: str = "cpu"


@dataclass(frozen=True)
class FeatureSet:
    """An embedding of n samples: values (n, d), the conditions asked for, and the class read off each sample.

    predicted: (n,) int64 where the extractor is a classifier, else None.
    texts: (n, d) where the extractor embeds each sample's caption in the same space, else None.
    """

    values: Float[Tensor, "n d"]
    labels: Int[Tensor, " n"]
    predicted: Int[Tensor, " n"] | None = None
    texts: Float[Tensor, "n d"] | None = None

    def __len__(self) -> int:
        return int(self.values.shape[0])


class Extractor(Protocol):
    """An embedding of samples. `fingerprint` says all that its values depend on: sets of unlike fingerprints
    must never be compared.
    """

    version: ClassVar[int]

    @property
    def fingerprint(self) -> Mapping[str, Any]: ...
    def extract(self, samples: Samples) -> FeatureSet: ...


class FittedExtractor(Extractor, Protocol):
    """An extractor that is trained here, on the real data, as a stage of the store."""

    def fit(self, real: RealData, progress: Progress) -> None: ...
    def weights(self) -> Weights: ...
    def load(self, weights: Weights) -> None: ...


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, where one is known."""

    value: float
    lo: float | None = None
    hi: float | None = None


class Metric(Protocol):
    """Compares generated with real features.

    features: names of the feature spaces it is computed in; None means all of them.
    against: the split of the real rows that generated ones are compared with. Memorisation asks for `train`,
        everything else for `reference`.
    floored: whether real against real is a meaningful floor for it. The floor's rows come from the other split.
    """

    version: ClassVar[int]
    floored: ClassVar[bool]
    against: ClassVar[Split]
    features: Sequence[str] | None

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]: ...


@dataclass(frozen=True)
class Subject:
    """What a probe looks at: one model of one generation, and one prompt set.

    first: the same member's model of generation 0, loaded when it is asked for.
    real: reference rows of the prompt set.  generated: what the model was sampled for it.
    """

    model: GenerativeModel
    first: Callable[[], GenerativeModel]
    real: Samples
    generated: Samples


class Probe(Protocol):
    """Looks inside fitted models: perplexity, log-likelihood, denoising loss.

    It is called for every prompt set, with the same random numbers in every generation, so that what changes is the
    model. A name that it gives is in the ledger behind the prompt set: `<subset>/<name>`.
    """

    version: ClassVar[int]

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Mapping[str, Estimate]: ...


class Curation(Protocol):
    """Acts on samples between the model and the pool. Unlike mixing, it looks at them.

    `plan` says which conditions remain without looking at any sample, so that the whole run can be planned, and
    refused, before it starts; `apply` must return exactly those, in that order.

    needs_classifier: whether `apply` scores samples with a trained classifier.
    """

    version: ClassVar[int]
    needs_classifier: ClassVar[bool]

    def plan(self, conditions: Conditions) -> Conditions: ...
    def apply(
        self, generated: Samples, real: Samples, scorer: Extractor | None, rng: np.random.Generator
    ) -> Samples: ...


@dataclass
class Record:
    """One line of the ledger; field names are a public format (see README, "The ledger")."""

    generation: int
    model: str
    counts: dict[str, int]
    metrics: dict[str, float]
    seconds: dict[str, float]
    status: Literal["ok", "diverged"]
    keys: dict[str, Any]
    features: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class RunInfo:
    """What a sink is told of a run when it opens."""

    name: str
    signature: str
    folder: Path
    config: Mapping[str, Any]


class Sink(Protocol):
    """A mirror of the ledger. It may fail without harm to the run: the ledger is the truth."""

    def open(self, run: RunInfo, past: Sequence[Record]) -> None: ...
    def record(self, record: Record) -> None: ...
    def grid(self, generation: int, model: str, subset: str, path: Path) -> None: ...
    def close(self, status: str) -> None: ...
