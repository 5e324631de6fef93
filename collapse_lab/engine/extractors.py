"""Feature extractors: built once, trained once per data set as stages of the store."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, TypeGuard

from collapse_lab.engine.allocations import bounded
from collapse_lab.engine.arithmetic import choose_arithmetic
from collapse_lab.engine.executor import fitting_from
from collapse_lab.engine.keys import ExtractorKey
from collapse_lab.engine.lab import Lab
from collapse_lab.engine.payloads import features_to_payload
from collapse_lab.engine.stages import Stage
from collapse_lab.engine.view import given
from collapse_lab.errors import UserError
from collapse_lab.storage.store import Payload
from collapse_lab.types import BatchedExtractor, Curation, Extractor, FittedExtractor, Progress, Rows, Samples

SCORER = "curation's scorer"  # no feature space can have this name


def trained_here(extractor: Extractor) -> TypeGuard[FittedExtractor]:
    """Return whether an extractor is fitted on the real data.

    The class is asked, because `isinstance` with a protocol would evaluate the fingerprint, which needs the fit.
    """
    return callable(getattr(type(extractor), "fit", None))


def batched(extractor: Extractor) -> TypeGuard[BatchedExtractor]:
    """Return whether an extractor says that it embeds rows batch after batch, each row for itself."""
    return bool(getattr(extractor, "batched", False))


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
            name: self._stage(lab.extractors[name].identity, extractor)
            for name, extractor in self._built.items()
            if trained_here(extractor)
        }

    @property
    def names(self) -> list[str]:
        """Return the names of the feature spaces, in their order."""
        return list(self._lab.extractors)

    def parents(self, name: str) -> list[Stage]:
        """Return the stage that trains an extractor, if it is trained here."""
        return [self.stages[name]] if name in self.stages else []

    def get(self, name: str) -> Extractor:
        """Return an extractor, trained or loaded, and let it compute exactly, as its fingerprint says."""
        choose_arithmetic()
        extractor = self._built[name]
        if trained_here(extractor) and name not in self._loaded:
            extractor.load(self.stages[name].value().tensors)
            self._loaded.add(name)
        return extractor

    def embed(self, name: str, rows: Samples[Rows], generation: int, what: str) -> Payload:
        """Return the features of rows; an extractor that works in batches tells how far it is.

        Args:
            name: the feature space.
            rows: what is embedded.
            generation: the generation whose rows they are, 0 for real ones.
            what: whose rows they are, for the user: a member, or a part of the data set.
        """
        extractor = self.get(name)
        if not batched(extractor):
            return features_to_payload(extractor.extract(given(extractor, rows)))
        self._progress.start(generation, what, f"features {name}", len(rows))
        try:
            return features_to_payload(extractor.extract(given(extractor, rows), self._progress.advance))
        finally:
            self._progress.stop()

    def part_of(self, name: str, most: int) -> int | None:
        """Return how many rows are whole batches of an extractor, at most `most` or one batch; None without batches."""
        extractor = self._built[name]
        if not batched(extractor):
            return None
        return max(1, most // extractor.batch_size) * extractor.batch_size

    def scorer_for(self, curation: Curation) -> str | None:
        """Return the name of the extractor that a curation scores samples with, None where it scores none.

        Raises:
            UserError: the run lacks the feature space, a metric is computed in it, or what `scorer` raises.
        """
        space = getattr(curation, "scores_in", None)
        if space is None:
            return self.scorer() if curation.needs_classifier else None
        if space not in self._lab.extractors:
            raise UserError(
                f"this curation scores images in features '{space}', and features=[{', '.join(self.names)}] has none "
                f"of this name; give features=[{','.join([*self.names, space])}]"
            )
        judged = [name for name, (metric, _) in self._lab.metrics.items() if space in (metric.features or [space])]
        if judged:
            others = ",".join(name for name in self.names if name != space) or "…"
            raise UserError(
                f"this curation chooses images by features '{space}', and metrics are computed in them too; give "
                + " ".join(f"metrics.{name}.features=[{others}]" for name in judged)
            )
        return str(space)

    def scorer(self) -> str:
        """Return the name of the classifier that curation scores images with.

        It is another network than those that metrics are computed with: the first classifier among the features,
        trained from a seed that none of them has. Otherwise curation would choose images by what they are judged by.

        Raises:
            UserError: no extractor of this run is a classifier that is trained here from a seed.
        """
        if SCORER not in self._built:
            name = self._first_classifier()
            component, seeds = self._lab.extractors[name], [seed_of(extractor) for extractor in self._built.values()]
            seed = 1 + max(seed for seed in seeds if seed is not None)
            extractor = component.build(self._lab.dataset.spec, seed=seed)
            identity = {**component.identity, "arguments": {**component.identity["arguments"], "seed": seed}}
            self._built[SCORER], self.stages[SCORER] = extractor, self._stage(identity, extractor)
        return SCORER

    def _first_classifier(self) -> str:
        for name, extractor in self._built.items():
            scores = hasattr(extractor, "log_probabilities")
            if scores and trained_here(extractor) and seed_of(extractor) is not None:
                return name
        raise UserError(
            "this curation scores images with a classifier of its own, trained as that among the features and from "
            f"another seed, and features=[{', '.join(self.names)}] has none that is trained here; add one, such as "
            "features=[classifier,pixels]"
        )

    def _stage(self, identity: Mapping[str, Any], extractor: FittedExtractor) -> Stage:
        def produce(key: str) -> Payload:
            real = self._lab.real.map(partial(given, extractor))
            choose_arithmetic()
            fit = fitting_from(extractor, self._lab.checkpoint(ExtractorKey.kind, key))
            fit(real, self._progress)
            return Payload(extractor.weights())

        return Stage(self._lab.store, ExtractorKey(identity, self._lab.dataset.key), produce, keyed=True)


def seed_of(extractor: Extractor) -> int | None:
    """Return the seed that an extractor is trained from, None where it has no argument of this name."""
    seed = getattr(extractor, "seed", None)
    return seed if isinstance(seed, int) else None
