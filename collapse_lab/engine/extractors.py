"""Feature extractors: built once, trained once per data set as stages of the store."""

from __future__ import annotations

from typing import TypeGuard

from collapse_lab.engine.allocations import bounded
from collapse_lab.engine.keys import ExtractorKey
from collapse_lab.engine.lab import Lab
from collapse_lab.engine.stages import Stage
from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.storage.store import Payload
from collapse_lab.types import Extractor, FittedExtractor, Progress


def trained_here(extractor: Extractor) -> TypeGuard[FittedExtractor]:
    """Return whether an extractor is fitted on the real data.

    The class is asked, because `isinstance` with a protocol would evaluate the fingerprint, which needs the fit.
    """
    return callable(getattr(type(extractor), "fit", None))


class Extractors:
    """Hold the extractors of a run by name."""

    def __init__(self, lab: Lab, progress: Progress) -> None:
        self._lab, self._progress = lab, progress
        self._built: dict[str, Extractor] = {}
        for name, component in lab.extractors.items():
            with bounded(f"the network of features.{name}", "lower its sizes"):
                self._built[name] = component.build(lab.dataset.spec)
        self._loaded: set[str] = set()
        self.stages = {
            name: self._stage(name, extractor) for name, extractor in self._built.items() if trained_here(extractor)
        }

    @property
    def names(self) -> list[str]:
        """Return the names of the feature spaces, in their order."""
        return list(self._built)

    def parents(self, name: str) -> list[Stage]:
        """Return the stage that trains an extractor, if it is trained here."""
        return [self.stages[name]] if name in self.stages else []

    def get(self, name: str) -> Extractor:
        """Return an extractor, trained or loaded."""
        extractor = self._built[name]
        if trained_here(extractor) and name not in self._loaded:
            extractor.load(self.stages[name].value().tensors)
            self._loaded.add(name)
        return extractor

    def scorer(self) -> str:
        """Return the name of the first extractor that reads classes.

        Raises:
            UserError: no extractor of this run reads classes.
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

        key = ExtractorKey(self._lab.extractors[name].identity, self._lab.dataset.key)
        return Stage(self._lab.store, key, produce)
