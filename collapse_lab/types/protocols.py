"""The protocols that everything pluggable satisfies.

A new data set, prompt set, mixing policy, family, feature space, metric, probe, curation step or sink is one file that
satisfies one of these protocols, and one yaml in `conf/` that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from collapse_lab.types.data import Conditions, RealData, Rows, Samples, Spec, Split, Weights
from collapse_lab.types.family import Progress
from collapse_lab.types.measures import Estimate, FeatureSet, Subject
from collapse_lab.types.provenance import DrawRequest, Provenance
from collapse_lab.types.records import Record, RunInfo


class Dataset(Protocol):
    """Provide real, immutable data.

    A data set whose rows lie in files that may be larger than the memory may have a method `open() -> RealData[Rows]`.
    It returns the same rows as `load`, to be gathered when they are asked for, and a run calls it instead of `load`.

    A data set that takes files from elsewhere may have a method `prefetch() -> Sequence[Need]`, which names them for
    the command `collapse-lab prefetch`. It makes no request; `Need.obtain` does.
    """

    @property
    def key(self) -> str:
        """Return what identifies the rows (name, arguments, checksums), without reading them."""
        ...

    @property
    def spec(self) -> Spec:
        """Return what the data set promises to models and feature extractors."""
        ...

    def load(self) -> RealData:
        """Return the rows; the same rows in the same order at every call."""
        ...


class PromptSet(Protocol):
    """Name a set of prompts: which real rows belong to it, and which prompts are sampled for it.

    A set that lists its prompts may have an attribute `prompts`, a sequence of texts. None of them may be in the set
    that is retrained on and in another one too.

    A set may have a method `has_reference(real: RealData[Rows]) -> bool`. Where it returns False, and the set is not
    the one that is retrained on, samples are compared with those of generation 0 and not with real rows.
    """

    def bind(self, spec: Spec) -> PromptSet:
        """Return this set, checked against the words of a data set.

        Raises:
            UserError: the set names a class or a caption that the data set does not have.
        """
        ...

    def member(self, samples: Samples[Rows]) -> np.ndarray:
        """Return a boolean mask (n,): the real rows that belong to this set."""
        ...

    def conditions(self, n: int, train: Samples[Rows], spec: Spec) -> Conditions:
        """Return n conditions, balanced over the set and the same at every call."""
        ...


class Extractor(Protocol):
    """Embed samples in a feature space.

    An extractor whose features hold more than values says so in a class attribute `provides`: a frozenset of
    "predicted" and "texts".

    An extractor that reads rows batch after batch may say so in a class attribute `gathers`, True. It is then given
    `Samples[Rows]`, rows that are gathered from their files when they are asked for.

    A class of extractors, of families or of probes that takes weights from elsewhere may have a static method
    `prefetch(arguments: Mapping[str, Any]) -> Sequence[Need]`. It is given the configured arguments, because an object
    may not be constructed before its weights are there.
    """

    version: ClassVar[int]

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Return what the values depend on. Sets of unlike fingerprints must never be compared."""
        ...

    def extract(self, samples: Samples) -> FeatureSet:
        """Return the embedding of the samples, row by row."""
        ...


class BatchedExtractor(Extractor, Protocol):
    """Embed samples batch after batch, each row for itself, and tell how far it is.

    Such an extractor says so in a class attribute `batched`, True. A large set is then embedded in parts of whole
    batches, which are kept, so that a stop costs a part and not all. Its `fingerprint` may not depend on the parts.

    Attributes:
        batched: True.
        batch_size: rows of a batch, 1 or more.
    """

    batched: ClassVar[bool]
    batch_size: int

    def extract(self, samples: Samples, advance: Callable[[int], None] = ...) -> FeatureSet:
        """Return the embedding of the samples, and call `advance` with the number of rows after each batch."""
        ...


class FittedExtractor(Extractor, Protocol):
    """Embed samples by a network that is trained here, on the real data, as a stage of the store.

    An extractor whose fit can go on from a checkpoint may say so in a class attribute `resumes`, True. Its `fit` is
    then given a third argument, `checkpoint: Checkpointing | None`, and hands it to `engine.lightning.fit`.
    """

    def fit(self, real: RealData, progress: Progress) -> None:
        """Train on the real data."""
        ...

    def weights(self) -> Weights:
        """Return the tensors that `load` takes."""
        ...

    def load(self, weights: Weights) -> None:
        """Take over what `weights` returned."""
        ...


class Metric(Protocol):
    """Compare features of generated rows with features of real rows.

    Attributes:
        version: raised whenever the same features would give other numbers.
        floored: whether real against real is a meaningful floor. The floor's rows come from the other split.
        against: the split of the real rows that generated ones are compared with. Memorisation asks for `train`,
            everything else for `reference`.
        features: names of the feature spaces that the metric is computed in; None means all of them.

    A metric that is empty without `predicted` or `texts` of the features says so in a class attribute `needs`: one of
    the two words. A run in which no feature space provides it is refused.

    A metric whose value says nothing of the rows that it is given beside the generated ones, such as the variety of
    the generated ones, says so in a class attribute `compares`, False. It then has a value in generation 0 also where
    samples are compared with those of generation 0, because no real row has such a prompt.

    A metric that looks at each group of a prompt set says so in a class attribute `grouped`, True. It is then given
    feature sets whose `groups` are filled in where the groups are prompts and not labels.

    A metric that compares the members of a population with each other says so in a class attribute `between`, True. It
    is given the features of another member's samples for the same prompts in the place of real rows, once for each
    member before its own, and the other's name is appended to the names that it returns.

    A metric that was given further numbers, and whose earlier ones are what they were, keeps its `version` and counts
    such changes in a class attribute `additions`. Runs then keep their signatures, and floors are computed anew,
    because a floor of before lacks the further numbers.

    A metric that does not take any number of rows may have a method `check_run(comparison: Comparison) -> None`. It is
    called for every prompt set before anything is computed, and raises UserError where the metric would fail later.

    A metric that computes something from the real rows alone may have a method
    `of_real(real: FeatureSet) -> Mapping[str, Tensor]`. Its result is a stage of the store, shared by all generations
    and runs, and `__call__` is given it as a named argument `known`.

    A metric that shares work with other ones may have an attribute `together`: a function of the signature
    `(tasks: Sequence[Task]) -> Sequence[Mapping[str, Estimate]]`. It is called once with the tasks of all metrics that
    have the same one, in place of `__call__`. `metrics.tiles.in_one_pass` shares the inner products of pairs of rows.
    """

    version: ClassVar[int]
    floored: ClassVar[bool]
    against: ClassVar[Split]
    features: Sequence[str] | None

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return quantity -> estimate, the quantities being names of the ledger."""
        ...


class Probe(Protocol):
    """Look inside a fitted model: perplexity, log-likelihood, denoising loss.

    A probe is called for every prompt set, with the same random numbers in every generation, so that only the model
    changes. A name that it returns stands in the ledger behind the prompt set: `<subset>/<name>`.

    A probe that reads rows batch after batch may say so in a class attribute `gathers`, True. The rows of its subject
    are then gathered from their files when they are asked for.

    A probe that looks at the model and at no sample may say so in a class attribute `reads_samples`, False. Where all
    probes of a run of points say so, and nothing else measures samples, a model samples only what enters the pool, and
    `generated` of the subject has no rows for other prompt sets.

    A probe that gives the real rows to a family which has an encoder may say so in a class attribute `encodes`, True.
    The real rows of its subject then come with `encoded`.

    A probe that does not take any family and data set may have a method `check_run(prospect: Prospect) -> None`. It is
    called for every member and prompt set before anything is computed, and raises UserError where the probe would fail
    later.
    """

    version: ClassVar[int]

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return quantity -> estimate."""
        ...


class MixingPolicy(Protocol):
    """Choose the rows of a training set from their provenance alone, never from pixels or tokens.

    A policy whose rows count unequally may have a method
    `weigh(pool: Provenance, request: DrawRequest, ids: np.ndarray) -> np.ndarray | None`. It is called with what `draw`
    returned, and returns a weight above 0 for each row, of mean 1, or None where all rows count the same. Only families
    with the class attribute `weighs` can be fitted to such rows.

    A policy that is told of members by their names may have a method `check_members(names: Sequence[str]) -> None`,
    which raises UserError before anything is computed where it does not suit the population.

    Attributes:
        horizon: how many past generations `draw` may read; None means all of them.
    """

    horizon: int | None

    def draw(self, pool: Provenance, request: DrawRequest) -> np.ndarray:
        """Return the ids of the training set's rows, each at most once.

        Raises:
            UserError: the pool holds fewer rows than the policy needs.
        """
        ...


class Curation(Protocol):
    """Act on samples between the model and the pool. Unlike mixing, curation looks at them.

    Attributes:
        version: raised whenever the same samples would be curated otherwise.
        changes_samples: whether `apply` does anything at all; where it is False no stage is made.
        needs_classifier: whether `apply` scores samples with a trained classifier.

    A step that scores samples in a feature space of the run may have an attribute or property `scores_in`, its name or
    None. `apply` is then given its extractor. A run with a metric in that space is refused.

    A step that reads no real row, or reads them batch after batch, may say so in a class attribute `gathers`, True. The
    real rows are then gathered from their files when it asks for them.

    A step that does not take any data may have a method `check_run(spec: Spec) -> None`, which raises UserError before
    anything is computed.

    A step may have a method `check_conditions(conditions: Conditions) -> None`, which is given the conditions that a
    generation samples for the pool, and raises UserError before anything is computed.

    A step that drops samples may have a method `enlarge(conditions: Conditions) -> Conditions`. It returns n conditions
    or more, of which the first are the n that it is given; `plan` of them are as many of each condition as the n have.
    The engine samples the ones behind the first n for the pool alone, so that metrics compare as many samples as ever.
    """

    version: ClassVar[int]
    changes_samples: ClassVar[bool]
    needs_classifier: ClassVar[bool]

    def plan(self, conditions: Conditions) -> Conditions:
        """Return the conditions that remain, known before any sample, so that the whole run can be planned."""
        ...

    def apply(self, generated: Samples, real: Samples, scorer: Extractor | None, rng: np.random.Generator) -> Samples:
        """Return exactly the samples that `plan` promised, in that order."""
        ...


class Sink(Protocol):
    """Mirror the ledger. A sink may fail without harm to the run, because the ledger is the truth."""

    def open(self, run: RunInfo, past: Sequence[Record]) -> None:
        """Begin, or go on with, a run of which `past` is recorded already."""
        ...

    def record(self, record: Record) -> None:
        """Mirror one line of the ledger."""
        ...

    def grid(self, generation: int, model: str, subset: str, path: Path) -> None:
        """Mirror one picture of samples."""
        ...

    def close(self, status: str) -> None:
        """End the mirror with the status of the run."""
        ...
