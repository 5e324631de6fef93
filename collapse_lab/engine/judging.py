"""Judge the images that a fit samples, by their distance from validation rows in a feature space of the run."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from collapse_lab.engine.arithmetic import choose_arithmetic
from collapse_lab.engine.extractors import Extractors
from collapse_lab.engine.keys import digest
from collapse_lab.engine.lab import Lab, ModelComponent
from collapse_lab.engine.stages import Stage
from collapse_lab.engine.view import given
from collapse_lab.errors import UserError
from collapse_lab.types import Arithmetic, Samples

LEAST = 2  # rows of a distribution


class Judges:
    """Make what judges the images of fits. The features of the validation rows are computed once."""

    def __init__(self, lab: Lab, extractors: Extractors) -> None:
        self._lab, self._extractors = lab, extractors
        self._known: dict[str, Tensor] = {}

    def judge(self, component: ModelComponent, arithmetic: Arithmetic) -> Callable[[Samples], float]:
        """Return the distance of images from the validation rows, which is smaller for better images.

        Args:
            component: a family that judges its images.
            arithmetic: that of the fit. Features are computed exactly, and the fit goes on with its own.
        """
        space, distance = component.judged_in, component.distance
        assert space is not None
        assert distance is not None

        def judged(images: Samples) -> float:
            try:
                if space not in self._known:
                    self._known[space] = self._features(space, self._lab.validation)
                return distance(self._features(space, images), self._known[space])
            finally:
                choose_arithmetic(arithmetic)

        return judged

    def digest(self, component: ModelComponent, generation: int) -> str:
        """Return a digest of what a fit judges its images by, empty where it judges none.

        It is of the feature space, and of the arguments that act on sampling, because the images are sampled.
        """
        if component.judged_in is None:
            return ""
        features = self._lab.extractors[component.judged_in].identity
        return digest({"features": features, "sampling": component.sampling_arguments(generation)}, 32)

    def parents(self, component: ModelComponent) -> list[Stage]:
        """Return the stage that trains the feature space in which a family judges its images, if it is trained here."""
        return [] if component.judged_in is None else self._extractors.parents(component.judged_in)

    def _features(self, space: str, rows: Samples) -> Tensor:
        extractor = self._extractors.get(space)
        return extractor.extract(given(extractor, rows)).values


def check_judges(lab: Lab) -> None:
    """Refuse a run whose fits could not judge their images.

    Raises:
        UserError: the run has no such feature space, there are too few validation rows, or a fit is divided over
            several processes.
    """
    for component in lab.models:
        space = component.judged_in
        if space is None:
            continue
        where = f"model.selection of '{component.name}'"
        if space not in lab.extractors:
            names = [*lab.extractors]
            raise UserError(
                f"{where} judges images in features '{space}', and features=[{','.join(names)}] has none of this name; "
                f"give features=[{','.join([*names, space])}], or another model.selection.features"
            )
        if len(lab.validation) < LEAST:
            raise UserError(
                f"{where} compares images with validation rows, and the data set has {len(lab.validation)} of them, "
                f"where a distribution has {LEAST} or more; raise dataset.validation_fraction"
            )
        if lab.training.devices > 1:
            raise UserError(
                f"{where} looks at images in the process of the run, and trainer.devices={lab.training.devices} "
                "divides a fit over several processes; give trainer.devices=1, or model.selection.every=null"
            )
