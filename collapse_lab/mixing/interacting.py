"""Train on private rows, on public rows, and on what all models of a population have generated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.mixing.base import Policy, apportion, choose
from collapse_lab.seeds import Seeds
from collapse_lab.types import REAL, Count, DrawRequest, Provenance, Share

PRIVATE, PUBLIC = -2, -1  # numbers of the two kinds of real rows, beside those of the models
# How to mend a share of rows of which there are none
NO_REAL_ROWS = (
    "give population.private and population.public prompt sets with rows, or give that share 0 (mixing.alpha, "
    "mixing.beta, mixing.shares)"
)
TOO_FEW_MADE = "raise n_samples, or give that share 0 (mixing.alpha, population.exposure)"
NOT_MADE = (
    "a model that was absent in the generation before (population.present) has made none: let it stay, give it the "
    "share 0, or give no mixing.shares, because a named population.exposure follows who is there; if it was there, "
    "raise n_samples"
)


@dataclass(frozen=True)
class Part:
    """Hold the rows of one source that a model may train on, and the share that they have.

    Attributes:
        name: what the rows are, in words for messages.
        rows: the rows.
        share: above 0.
        seeds: the place of the draw from these rows.
    """

    name: str
    rows: Provenance
    share: float
    seeds: Seeds


class Interacting(Policy):
    """Take shares (1 - α)β of private rows, (1 - α)(1 - β) of public rows, and α of the models' latest rows.

    This is the loop of arXiv:2505.21677 for K models. Model j makes the share α e_kj of what model k trains on, where e
    is `population.exposure` (`complete` is the paper's α/K). Generation 0 has shares β and 1 - β of real rows.

    Args:
        alpha: α, the synthetic share of a training set, in [0, 1].
        beta: β, the private share of its real rows, in [0, 1].
        by: `weights` takes all rows of a source, which count so much that the source has its share; n_train is not
            read then, and a network draws the rows of each step by these weights. `rows` draws n_train rows, of which
            each source gives its share in whole numbers.
        draw: `shared` lets all models train on the same rows of a model (on the first ones of one order, where they
            take unlike numbers). `own` cuts the rows of each model into one part for each member, so that no row is
            trained on by two members; a population of K takes K times the n_samples for parts of the same size.
        pool: `known` gives each model the share that its exposure says. `hidden` draws from the rows of all models
            together, because nobody knows who made them; models without exposure are still left out.
        shares: member -> its row of K + 2 shares (private, public, each model), which replaces α, β and the exposure
            in generations after 0. They sum to 1. Generation 0 has the two real ones, and β where both are 0.
        initial: how many rows generation 0 draws (`by=rows`); None means n_train.

    Raises:
        UserError: shares that are negative or do not sum to 1.

    Source: arXiv:2505.21677.
    """

    def __init__(
        self,
        alpha: Share,
        beta: Share = 0.5,
        by: Literal["weights", "rows"] = "rows",
        draw: Literal["shared", "own"] = "shared",
        pool: Literal["known", "hidden"] = "known",
        shares: Mapping[str, Sequence[float]] | None = None,
        initial: Count | None = None,
    ) -> None:
        super().__init__(initial)
        self.alpha, self.beta, self.by, self.drawn, self.pool = alpha, beta, by, draw, pool
        self.shares = {name: [float(share) for share in row] for name, row in (shares or {}).items()}
        for name, row in self.shares.items():
            if not (all(share >= 0 for share in row) and abs(sum(row) - 1) <= 1e-9):  # NaN fails both
                raise UserError(
                    f"mixing.shares.{name} holds shares of private rows, public rows and each model's rows, which sum "
                    f"to 1; got {row}, whose sum is {sum(row):g}"
                )

    def check_members(self, names: Sequence[str]) -> None:
        """Refuse rows of shares of unknown members, and rows of another length.

        Raises:
            UserError: there is one.
        """
        for name, row in self.shares.items():
            if name not in names:
                raise UserError(f"mixing.shares names no member: '{name}'; {did_you_mean(name, names)}")
            if len(row) != len(names) + 2:
                raise UserError(
                    f"mixing.shares.{name} holds {len(names) + 2} shares: of private rows, of public rows, and one for "
                    f"each of {len(names)} models; got {len(row)}"
                )

    def row(self, member: str, exposure: Mapping[int, float], generation: int) -> dict[int, float]:
        """Return the share of each source: PRIVATE, PUBLIC, and k for the rows of model k; they sum to 1.

        Args:
            member: the name of the model that trains.
            exposure: source -> its share of the synthetic rows.
            generation: generation 0 has shares of real rows alone.
        """
        listed = self.shares.get(member)
        if listed is None:
            alpha, beta = self.alpha, self.beta
            models = {source: alpha * share for source, share in exposure.items()}
        else:
            real = listed[0] + listed[1]
            alpha, beta = 1 - real, listed[0] / real if real > 0 else self.beta
            models = dict(zip(exposure, listed[2:], strict=True))
        if generation == 0:
            return {PRIVATE: beta, PUBLIC: 1 - beta} | dict.fromkeys(exposure, 0.0)
        if self.pool == "hidden":
            seen = [source for source, share in models.items() if share > 0]
            models |= {source: alpha / len(seen) for source in seen}
        return {PRIVATE: (1 - alpha) * beta, PUBLIC: (1 - alpha) * (1 - beta)} | models

    def draw(self, pool: Provenance, request: DrawRequest) -> np.ndarray:
        """Return the ids of the rows, source by source.

        Raises:
            UserError: a source with a positive share has no row, or fewer than its share of n_train.
        """
        parts = self._parts(pool, request)
        if self.by == "weights":
            return np.concatenate([part.rows.ids for part in parts])
        n = int(self.initial or request.n) if request.generation == 0 else request.n
        counts = apportion(n, {number: part.share for number, part in enumerate(parts)})
        for number, part in enumerate(parts):
            if counts[number] == 0:
                raise UserError(
                    f"{part.name} have a share of {part.share:g}, which is no row of n_train={n}; raise "
                    f"n_train to {int(1 / part.share) + 1}, or give mixing.by=weights"
                )
        drawn = [choose(part.rows, counts[i], part.seeds, part.name) for i, part in enumerate(parts)]
        return np.concatenate(drawn)

    def later(self, pool: Provenance, request: DrawRequest) -> np.ndarray:
        """Return what `draw` returns."""
        return self.draw(pool, request)

    def weigh(self, pool: Provenance, request: DrawRequest, ids: np.ndarray) -> np.ndarray | None:
        """Return the weight of each row: share of its source x rows of the set / rows of the source."""
        if self.by == "rows":
            return None
        parts = self._parts(pool, request)
        return np.concatenate([np.full(len(part.rows), part.share * len(ids) / len(part.rows)) for part in parts])

    def _parts(self, pool: Provenance, request: DrawRequest) -> list[Part]:
        """Return the sources with a positive share, each with its rows."""
        name, generation = request.seeds.model, request.generation
        row = self.row(name, request.exposure, generation)
        real = (pool.source == REAL) & pool.eligible
        private, public = pool.where(real & (pool.owner == request.member)), pool.where(real & (pool.owner == 0))
        latest = pool.where((pool.source != REAL) & (pool.born == generation - 1))
        parts = [
            Part(f"private rows of '{name}'", private, row[PRIVATE], request.seeds.child("private")),
            Part("public rows", public, row[PUBLIC], request.seeds.child("public")),
        ]
        # Because a shared draw is one order for all members, its place has no member's name
        common = Seeds(request.seeds.seed, generation, "", f"{request.seeds.role}/pool")
        place = common if self.drawn == "shared" else request.seeds.child("pool")
        models = [source for source in request.exposure if row[source] > 0]
        if self.pool == "hidden" and models:
            rows = latest.where(np.isin(latest.source, models))
            total = sum(row[source] for source in models)
            parts.append(Part("generated rows", self._cut(rows, request), total, place))
        else:
            for source in models:
                rows = self._cut(latest.where(latest.source == source), request)
                parts.append(Part(f"rows of model {source}", rows, row[source], place.child(str(source))))
        for number, part in enumerate(parts):
            if part.share > 0 and len(part.rows) == 0:
                mend = NO_REAL_ROWS if number < 2 else NOT_MADE if name in self.shares else TOO_FEW_MADE
                raise UserError(
                    f"generation {generation} of '{name}' has a share of {part.share:g} for {part.name}, and there are "
                    f"none; {mend}"
                )
        return [part for part in parts if part.share > 0]

    def _cut(self, rows: Provenance, request: DrawRequest) -> Provenance:
        """Return the part of each model's rows on which this member may train: all of them in a shared draw."""
        if self.drawn == "shared":
            return rows
        members = len(request.exposure)
        mask = np.zeros(len(rows), bool)
        for source in np.unique(rows.source):
            places = np.flatnonzero(rows.source == source)
            size = len(places) // members
            mask[places[(request.member - 1) * size : request.member * size]] = True
        return rows.where(mask)
