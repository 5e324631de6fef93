"""Feature extractors, trained once per data set as stages of the store, and ready when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from collapse_lab.engine.stages import Stage
from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.storage.store import Payload
from collapse_lab.types import Extractor, FittedExtractor, Progress

if TYPE_CHECKING:
    from collapse_lab.engine.lab import Lab


def trained_here(extractor: Extractor) -> TypeGuard[FittedExtractor]:
    """Whether it is fitted on the real data. (isinstance would evaluate its fingerprint, which needs the fit.)"""
    return callable(getattr(type(extractor), "fit", None))


class Extractors:
    """The extractors of a run by name."""

    def __init__(self, lab: Lab, progress: Progress) -> None:
        self._lab, self._progress = lab, progress
        self._built: dict[str, Extractor] = {
            name: part.build(lab.dataset.spec) for name, part in lab.extractors.items()
        }
        self._loaded: set[str] = set()
        self.stages = {
            name: self._stage(name, extractor) for name, extractor in self._built.items() if trained_here(extractor)
        }

    @property
    def names(self) -> list[str]:
        return list(self._built)

    def parents(self, name: str) -> list[Stage]:
        """The stage that trains it, if it is trained here."""
        return [self.stages[name]] if name in self.stages else []

    def get(self, name: str) -> Extractor:
        """The extractor, trained or loaded."""
        extractor = self._built[name]
        if trained_here(extractor) and name not in self._loaded:
            extractor.load(self.stages[name].value().tensors)
            self._loaded.add(name)
        return extractor

    def scorer(self) -> str:
        """Name of the extractor that reads classes.

        Raises:
            UserError: there is none.
        """
        for name, extractor in self._built.items():
            if hasattr(extractor, "log_probabilities"):
                return name
        raise UserError(
            f"this curation scores images with a classifier, and features=[{', '.join(self.names)}] has none; "
            f"{did_you_mean('classifier', ['classifier'])}"
        )

    def _stage(self, name: str, extractor: FittedExtractor) -> Stage:
        def produce() -> Payload:
            extractor.fit(self._lab.real, self._progress)
            return Payload(extractor.weights())

        fields = {"extractor": self._lab.extractors[name].identity, "dataset": self._lab.dataset.key}
        return Stage(self._lab.store, "extractor", fields, produce)
