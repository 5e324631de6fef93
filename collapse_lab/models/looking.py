"""Look at the moving average of the weights in the middle of a fit, and keep that with the best images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from collapse_lab.engine.ahead import Drawing
from collapse_lab.engine.lightning import Watch
from collapse_lab.engine.selection import BestAverage, Times
from collapse_lab.engine.silent import Silent
from collapse_lab.errors import Diverged, UserError
from collapse_lab.nn.optimisation import Optimisation
from collapse_lab.nn.selection import Selection
from collapse_lab.seeds import Seeds
from collapse_lab.types import Budget, Conditions, Progress, Samples, Weights

if TYPE_CHECKING:
    from collapse_lab.models.diffusion import Diffusion


class Choosing(Drawing):
    """Be a denoising model whose fit keeps the last moving average of its weights, or the best one.

    Args:
        selection: Which weights a fit keeps.
        optimisation: How they are found.

    Raises:
        UserError: `selection` may keep earlier weights than those of the moments that `optimisation` keeps.

    Attributes:
        looks: The step and the validation KID of each look of the last fit; none where the last weights are kept.
    """

    _average: Any  # that of the weights, during a fit

    def __init__(self, selection: Selection, optimisation: Optimisation) -> None:
        super().__init__()
        if selection.every is not None and optimisation.finetune_state == "kept":
            raise UserError(
                f"model.selection.every={selection.every} may keep weights from the middle of a fit, and "
                "model.optimisation.finetune_state=kept goes on with the moments of its last step; give "
                "model.selection.every=null, or model.optimisation.finetune_state=reset"
            )
        self.selection = selection
        self.looks: list[tuple[int, float]] = []
        self._best: BestAverage | None = None

    @property
    def validates(self) -> bool:
        """Return whether a fit chooses its weights on validation rows."""
        return self.selection.every is not None

    @property
    def judged_in(self) -> str | None:
        """Return the feature space in which a fit judges the images that it samples, None where it samples none."""
        return self.selection.features

    def validate_on(self, rows: Samples) -> None:
        """Take the rows whose conditions the next fit samples images for, to choose its weights by them."""
        self._conditions = self.selection.conditions(rows)

    def judge_by(self, judge: Callable[[Samples], float]) -> None:
        """Take what returns how far images are from the validation rows."""
        self._judge = judge

    def watch(self, rows: int, budget: Budget, seeds: Seeds) -> Callable[[Progress], Watch]:
        """Return what makes the watch of a fit, which keeps the best moving average where that is wanted.

        Args:
            rows: The size of the training set.
            budget: The budget of the fit.
            seeds: The place of the fit.
        """
        if not self.validates:
            return Watch
        look = Look(cast("Diffusion", self), self._average, self._conditions, self._judge, seeds)
        times = Times(self.selection.every, rows, budget)

        def made(progress: Progress) -> Watch:
            self._best = BestAverage(progress, times, look.loss, look.weights)
            return self._best

        return made

    def consider(self, step: int) -> None:
        """Look at the moving average after a step, where the fit looks at all and it is time."""
        if self._best is not None:
            self._best.consider(step)

    def choose(self) -> None:
        """Take the best weights of the fit that has ended, where it has looked at any.

        Raises:
            Diverged: no validation KID was a finite number.
        """
        if self._best is not None:
            self.load_state_dict(dict(self._best.kept))
            self.looks, self._best = self._best.looks, None


class Look:
    """Judge the moving average of the weights of a model that is fitted, and copy it.

    A look leaves the model as it was: its weights, its mode, its sampler, and every random stream.

    Args:
        model: the model.
        average: the moving average of its weights.
        conditions: what is sampled in a look.
        judge: returns how far images are from the validation rows.
        seeds: the place of the fit.
    """

    def __init__(
        self, model: Diffusion, average: Any, conditions: Conditions, judge: Callable[[Samples], float], seeds: Seeds
    ) -> None:
        self._model, self._average, self._conditions, self._judge = model, average, conditions, judge
        self._seeds = seeds.child("validation")

    def loss(self) -> float:
        """Return how far the images of the moving average are from the validation rows; NaN if one is not finite."""
        model = self._model
        usual, mode = model.sampler, model.training
        # Because a scheduler or a feature extractor may draw from the global streams, which are those of dropout
        with self._averaged(), self._seeds.scoped("cuda" if model.device.type == "cuda" else "cpu"):
            model.sampler = model.selection.sampler(usual)
            try:
                return self._judge(model.sample(self._conditions, self._seeds, Silent()))
            except Diverged:
                return math.nan
            finally:
                model.sampler = usual
                model.train(mode)

    def weights(self) -> Weights:
        """Return the moving average of the weights, on the CPU."""
        with self._averaged():
            return {name: value.clone() for name, value in self._model.weights().items()}

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Put the moving average in the place of the weights inside the block."""
        self._average.store(self._model.parameters())
        self._average.copy_to(self._model.parameters())
        try:
            yield
        finally:
            self._average.restore(self._model.parameters())
