"""A computed run in Python: its numbers as a table, and the samples, texts and models of its generations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collapse_lab.engine.payloads import samples_of
from collapse_lab.engine.silent import Silent
from collapse_lab.engine.view import asked
from collapse_lab.errors import UserError
from collapse_lab.results.collect import gathered
from collapse_lab.results.compared import compared
from collapse_lab.results.frames import of_collection
from collapse_lab.results.run import Run
from collapse_lab.seeds import Seeds
from collapse_lab.sharing.chosen import Chosen, Kind, choose
from collapse_lab.sharing.folders import read_one_run
from collapse_lab.types import GenerativeModel, Record, Samples

if TYPE_CHECKING:
    import pandas as pd

OWN_PROMPTS = "own prompts go to the pipeline that `collapse-lab export RUN --generation G --to FOLDER` writes"


@dataclass(frozen=True)
class OpenModel:
    """Hold the fitted model of one generation.

    Attributes:
        module: the module of the family, with the weights of the generation, on the CPU.
    """

    module: GenerativeModel
    _chosen: Chosen

    def __repr__(self) -> str:
        """Return the family, the generation and the run."""
        step, run = self._chosen.step, self._chosen.run
        return f"<{type(self.module).__name__} of generation {step.generation}, member {step.model}, of {run.folder}>"

    def sample(self, n: int, subset: str | None = None, seed: int = 0) -> Samples:
        """Return n new samples; the same arguments give the same samples.

        Args:
            n: how many, 1 or more.
            subset: the name of a prompt set of the run; None takes the one that is retrained on. A model for own
                prompts is written by `collapse-lab export`.
            seed: another number gives other samples. None of them are those of the run.

        Raises:
            UserError: n is no number, there is no such prompt set, or it has fewer prompts than samples are asked for.
        """
        lab, step = self._chosen.lab, self._chosen.step
        given: object = n  # because a caller may take n for the prompts
        if isinstance(given, bool) or not isinstance(given, Integral) or n < 1:
            raise UserError(f"sample(n, subset) takes a number of samples, 1 or more, and got {n!r}; {OWN_PROMPTS}")
        name = lab.generated_by(step.model) if subset is None else subset
        _check_subset(name, lab.prompts.sets)
        place = Seeds(seed, step.generation, step.model, f"opened/{name}")
        return self.module.sample(asked(self.module, lab.conditions(name, n)), place, Silent())


class OpenRun:
    """Read a run that was computed. Nothing is computed or written, but for samples that `OpenModel.sample` draws.

    Args:
        path: the run folder.
        changes: KEY=VALUE of what lies elsewhere now than when the run was computed, such as `paths.store=…`.

    Raises:
        UserError: there is no run, there are several, or it has another format than today's.
    """

    def __init__(self, path: Path | str, changes: Sequence[str] = ()) -> None:
        self.folder, self._changes = Path(path), tuple(changes)
        self._run: Run = read_one_run(self.folder)

    def __repr__(self) -> str:
        """Return the experiment, its settings in short, and how far it is."""
        return f"<run of {self._run.name}, seed {self._run.seed}, up to generation {self._run.last}, in {self.folder}>"

    @property
    def config(self) -> Mapping[str, Any]:
        """Return the resolved configuration, nested."""
        return self._run.config

    @property
    def records(self) -> Sequence[Record]:
        """Return the lines of the ledger, oldest first."""
        return self._run.records

    def frame(self) -> pd.DataFrame:
        """Return every number of every generation, a row each (`collapse_lab.frame` describes the columns)."""
        return of_collection(gathered([self._run]))

    def samples(self, generation: int | None = None, subset: str | None = None, member: str | None = None) -> Samples:
        """Return what a generation sampled for one prompt set, before any curation.

        Args:
            generation: 0 or more; None takes the last one.
            subset: the prompt set; None takes the one that is retrained on.
            member: the member of the population; None takes the only one.

        Returns:
            `data`, a tensor (n, …); `labels`, (n,); `captions`.

        Raises:
            UserError: there is no such generation, prompt set or member, or the store does not hold the samples.
        """
        chosen = self._choose(generation, member, "samples")
        name = chosen.lab.generated_by(chosen.step.model) if subset is None else subset
        _check_subset(name, chosen.step.samples)
        return samples_of(chosen.stored("sample", chosen.step.samples[name].key))

    def texts(self, generation: int | None = None, subset: str | None = None, member: str | None = None) -> list[str]:
        """Return what a generation wrote for one prompt set, as texts. The arguments are those of `samples`.

        Raises:
            UserError: the run samples no texts, or what `samples` raises.
        """
        tokens = self._choose(generation, member, "samples").lab.dataset.spec.tokens
        if tokens is None:
            raise UserError(f"{self.folder} is a run without texts; read its samples by samples(generation)")
        return tokens.decode(self.samples(generation, subset, member).data)

    def model(self, generation: int | None = None, member: str | None = None) -> OpenModel:
        """Return the fitted model of a generation.

        Args:
            generation: 0 or more; None takes the last one.
            member: the member of the population; None takes the only one.

        Raises:
            UserError: there is no such generation or member, or the store does not hold its weights.
        """
        chosen = self._choose(generation, member, "weights")
        return OpenModel(chosen.model(), chosen)

    def compare(self, other: OpenRun, generation: int | None = None) -> pd.DataFrame:
        """Return the numbers of this run beside those of another: `value`, `other` and `difference`, a row each.

        A single pair of runs has no interval over seeds; `collapse_lab.compare` takes the runs of several, and
        describes the columns. Generations, members and names that only one of the runs has are left out.

        Args:
            other: the run whose values are subtracted.
            generation: the generation; None takes every one, -1 the last that both have.

        Raises:
            UserError: the features behind a number differ between the runs.
        """
        return compared([(self._run, other._run)], generation)

    def _choose(self, generation: int | None, member: str | None, kind: Kind) -> Chosen:
        return choose(self.folder, generation, member, self._changes, kind)


def open_run(path: Path | str, *changes: str) -> OpenRun:
    """Open a run that was computed, to read its numbers, samples and models.

    Args:
        path: the run folder.
        changes: KEY=VALUE of what lies elsewhere now than when the run was computed, such as `paths.store=…`.

    Raises:
        UserError: there is no run, there are several, or it has another format than today's.
    """
    return OpenRun(path, changes)


def _check_subset(name: str, known: Iterable[str]) -> None:
    names = list(known)
    if name not in names:
        raise UserError(f"the run has no prompt set {name!r}: it has {', '.join(names)}; {OWN_PROMPTS}")
