"""A generative family: the protocol of its models, the budget of a fit, and the progress that is told of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

from collapse_lab.types.data import Conditions, Samples, Weights

if TYPE_CHECKING:
    from collapse_lab.seeds import Seeds

Arithmetic = Literal["exact", "fast"]  # of a GPU, see `engine.arithmetic`


@dataclass(frozen=True)
class Budget:
    """Hold the training budget of one fit, resolved for its generation.

    Attributes:
        steps: optimiser steps, 0 or more.
        batch_size: rows of a step, 1 or more.
        precision: as Lightning names it, such as 32-true or bf16-mixed.
        gradient_clip: the norm that gradients are clipped to, None for no clipping.
        device: cpu or cuda.
        warm: whether the fit starts from an earlier generation's weights.
        rows: the size of the training set, by which a schedule counts epochs; 0 counts the whole fit as one.
        arithmetic: how a GPU computes (`engine.arithmetic.choose_arithmetic`).
        accumulate: parts that the rows of a step are computed in, one after the other; they divide `batch_size`.
        devices: over how many processes, with a GPU each, the rows of each part are divided; they divide the part.
    """

    steps: int
    batch_size: int
    precision: str = "32-true"
    gradient_clip: float | None = 1.0
    device: str = "cpu"
    warm: bool = False
    rows: int = field(default=0, compare=False)
    arithmetic: Arithmetic = "exact"
    accumulate: int = 1
    devices: int = 1


@dataclass(frozen=True)
class Glance:
    """Hold what is seen of a fit at one of its steps.

    Attributes:
        step: the number of the step, the first one being 1.
        loss: its loss.
        learning_rate: that of the optimiser.
        size: how many units a step takes, 1 or more.
        unit: what they are: `images`, `tokens` or `rows`.
        memory: the most GPU memory that the process has held, in bytes; None on a CPU.
    """

    step: int
    loss: float
    learning_rate: float
    size: int
    unit: str
    memory: int | None = None


@runtime_checkable
class Progress(Protocol):
    """Be told where the work stands. Every method is cheap enough to be called at each step.

    A progress that shows what happens within a fit may have a method `glance(glance: Glance) -> None`. It is called
    between `start` and `stop` of a fit, at its first step, at every 25th after it, and at its last.
    """

    def start(self, generation: int, model: str, phase: str, total: int) -> None:
        """Begin a phase of `total` steps."""
        ...

    def advance(self, steps: int = 1) -> None:
        """Count steps that were done."""
        ...

    def stop(self) -> None:
        """End the phase."""
        ...


@dataclass(frozen=True)
class Exported:
    """Say how a folder that holds an exported model is opened.

    Attributes:
        library: the library that opens it, as its name stands in an import.
        task: what the model does, as the hub names it, such as `text-to-image`.
        usage: lines of Python that open the folder `FOLDER` and draw a sample.
        notes: sentences about what differs from how the run sampled.
    """

    library: str
    task: str
    usage: str
    notes: tuple[str, ...] = ()


class GenerativeModel(Protocol):
    """Be one model of one generation, built afresh for it.

    Attributes:
        version: raised whenever the same configuration would no longer give the same weights or samples, so that
            stale stages of the store are never taken for current ones.
        sampling_only: constructor arguments that act after training. They are left out of the key of a fit, so a
            sweep over them shares every fit of generation 0.

    A family may name in a class attribute `finetuning_only` (a frozenset) the constructor arguments that act in a warm
    fit alone, one that starts from an earlier generation's weights. `optimisation.finetune_lr` is the argument
    `finetune_lr` of the node `optimisation`. They are left out of the key of every other fit, so a sweep over them
    shares generation 0.

    A family that is not fitted to any number of rows may have an attribute or property `least_rows`, an integer: a run
    whose training sets are smaller is refused before anything is computed.

    A family that reads rows by their numbers alone, batch after batch, may say so in a class attribute `gathers`, True.
    Its `fit` is then given `Samples[Rows]`, rows that are gathered from their files when they are asked for.

    A family that samples more rows than fit into the memory may say so in a class attribute `allocates`, True. Its
    `sample` is then given a fourth argument, `allocate: Allocate`, and writes the rows batch after batch into the
    tensor that it makes.

    A family that reads some files alone of the folder `pretrained` may have a static method `checksum(path: Path)`,
    which returns a text that is equal for equal contents. It stands in the identity in the place of the path; without
    the method, the names and contents of all files do.

    A family that does not take every prompt may have a method `check_prompts(texts: Sequence[str])`, which raises
    `UserError`. It is asked before anything is computed, with the prompts of every prompt set.

    A family whose samples can start from pictures (`Conditions.context` of images) may say so in a class attribute
    `starts_from_pictures`, True. Its attribute `strength` is the share of the process that they go through, 1 where
    they are ignored. The pictures are a tensor; a family that says `gathers` is given rows that are still to be
    gathered from their files. A prompt set with pictures is refused for every other family.

    A family whose fit can go on from a checkpoint may say so in a class attribute `resumes`, True. Its `fit` is then
    given a fifth argument, `checkpoint: Checkpointing | None`, and hands it to `engine.lightning.fit`. The module that
    is fitted is an `engine.checkpoint.Resumable`, which names the family's random streams.

    A family whose fit can be divided over several processes may say so in a class attribute `divides`, True. Its `fit`
    hands the budget to `engine.lightning.fit`. Its training step is given all rows of a step, draws its random numbers
    for all of them, and computes those of `engine.ranks.share` alone; its loss is a mean over rows. The model is
    pickled on its way to the processes.

    A family whose rows can have a weight each, in the loss or as the probability that a step draws them, may say so in
    a class attribute `weighs`, True. Its `fit` is then given a named argument `weights: Float[np.ndarray, " n"]`, of
    mean 1, where a mixing policy has some.

    A family that chooses its weights on validation rows has an attribute or property `validates`, a boolean, and a
    method `validate_on(rows: Samples)`, which is called before `fit`. A run whose data set has no such rows is refused.
    Its attribute `looks`, the step and the validation loss of each look of the last fit, is kept with the weights.

    Such a family may choose its weights by the images that it samples in a fit. It has an attribute or property
    `judged_in`, the name of a feature space of the run, None where it samples none, and a method
    `judge_by(judge: Callable[[Samples], float])`. The method is called before `fit` with the distance of images from
    the validation rows, the smaller the better.

    A family that trains on what frozen networks make of rows and prompts may have an attribute or property
    `frozen_encoder`, an `Encoder`, None where a model has no such networks. Rows and prompts are then encoded once, as
    stages of the store. Its `fit` is given samples with `encoded`, and the method `take_states(states: States)` is
    called before it, and before `sample`, with a function that returns the encodings of prompts. Where it has a
    property `encodes_context`, True, `sample` is given conditions with `encoded`.

    A family whose models another library can open may have a method `export(folder: Path) -> Exported`. It writes the
    model with its present weights into the folder, which is there and empty.
    """

    version: ClassVar[int]
    sampling_only: ClassVar[frozenset[str]]

    def fit(self, data: Samples, budget: Budget, seeds: Seeds, progress: Progress) -> None:
        """Train on the rows.

        Raises:
            Diverged: the loss is no longer a finite number.
        """
        ...

    def sample(self, conditions: Conditions, seeds: Seeds, progress: Progress) -> Samples:
        """Return one sample for each condition.

        Raises:
            Diverged: a sample is not finite.
        """
        ...

    def sampling_steps(self, n: int) -> int:
        """Return how often `sample` advances the progress for n conditions."""
        ...

    def weights(self) -> Weights:
        """Return the tensors that `load` takes, on the CPU."""
        ...

    def load(self, weights: Weights) -> None:
        """Take over what `weights` returned."""
        ...

    def to(self, device: str, /) -> object:
        """Move the model to a device."""
        ...
