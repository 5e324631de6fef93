"""Let strata take turns, so that every prompt, or every label, gives as many rows to a training set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.seeds import Seeds
from collapse_lab.types import Provenance

# The strata of a draw: none, the prompts (label and caption), or the labels, of each of which the captions take turns
Stratify = bool | Literal["labels"]


@dataclass(frozen=True)
class Turns:
    """Hold the order in which strata take turns.

    Attributes:
        prompts: every prompt of a pool once, in the order of a round, (prompts,).
        labels: every label of a pool once, in the order of a round, (labels,); None where the prompts are the strata.
    """

    prompts: np.ndarray
    labels: np.ndarray | None = None

    @property
    def backwards(self) -> Turns:
        """Return the opposite order."""
        return Turns(self.prompts[::-1], None if self.labels is None else self.labels[::-1])

    def order(self, prompts: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the order in which rows are taken.

        Args:
            prompts: the prompt of each row, (rows,).
            labels: the label of each row, (rows,).

        Returns:
            The numbers of the rows in that order, (rows,).
        """
        order = in_turns(prompts, self.prompts)
        if self.labels is not None:  # the rows of a label keep their order, and with it the turns of their captions
            order = order[in_turns(labels[order], self.labels)]
        return order


def turns_of(pool: Provenance, seeds: Seeds, stratify: Stratify) -> Turns | None:
    """Return the strata of a pool in a random order; None where a draw is not stratified.

    Args:
        pool: the provenance of all rows so far.
        seeds: the place of the draw; every generation has another order, so that no stratum is always the first.
        stratify: what the strata are.
    """
    if not stratify:
        return None
    prompts = _shuffled(pool.prompts, seeds.child("turns"))
    return Turns(prompts, _shuffled(pool.labels, seeds.child("turns/labels")) if stratify == "labels" else None)


def check_strata(pool: Provenance, stratify: Stratify) -> None:
    """Refuse strata that a pool does not have.

    Args:
        pool: the provenance of all rows that a generation after 0 may train on, among others.
        stratify: what the strata are.

    Raises:
        UserError: labels are the strata, and a row has none. Prompts are, and no row has a label or a caption, or none
            has a label and each real row has a caption of its own.
    """
    if stratify == "labels":
        _refuse_unlabelled(pool)
    elif stratify and (pool.labels < 0).all():
        _refuse_void(pool)


def _shuffled(strata: np.ndarray, seeds: Seeds) -> np.ndarray:
    once = np.unique(strata)
    return once[seeds.numpy().permutation(len(once))]


def _refuse_unlabelled(pool: Provenance) -> None:
    """Refuse rows without a label where labels take turns."""
    real = pool.real.where(pool.real.eligible)
    for rows, kind, mend in (
        (real, "real rows", "name the column of the groups (dataset.label_column=group)"),
        (pool.synthetic, "generated rows", "retrain on prompts that have a label (such as prompts=pictures)"),
    ):
        void = int((rows.labels < 0).sum())
        if void:
            raise UserError(
                f"mixing.stratify=labels draws as many rows of every label, and {void} of the {len(rows)} {kind} have "
                f"none; {mend}, or draw as many rows of every prompt (mixing=contaminate_evenly, heal_evenly)"
            )


def _refuse_void(pool: Provenance) -> None:
    """Refuse to let prompts take turns that stratify nothing, where no row has a label."""
    if len(np.unique(pool.prompts)) == 1:
        raise UserError(
            "mixing.stratify=true draws as many rows of every prompt, and all rows of this data set have the same "
            "prompt and no label; give mixing.stratify=false"
        )
    real = pool.real.where(pool.real.eligible)
    # Prompts of the user's own, which no real row has, may still be strata of the synthetic rows
    if 0 < len(real) == len(np.unique(real.prompts)) and np.isin(pool.synthetic.prompts, real.prompts).all():
        raise UserError(
            f"mixing.stratify=true draws as many rows of every prompt, and each of the {len(real)} real rows has a "
            "caption of its own and no label, so that it would be a stratum by itself; name the column of the groups "
            "and draw as many rows of each (dataset.label_column=group mixing.stratify=labels), or give "
            "mixing.stratify=false"
        )


def in_turns(strata: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Return the order in which rows are taken if their strata take turns.

    In every round each stratum gives its next row, in the order of `turns`; one without rows left is skipped. So of the
    first n rows in this order, each stratum gives floor(n / strata) or one more, or all of its rows.

    Args:
        strata: the stratum of each row, (rows,).
        turns: every stratum once, in the order of a round.

    Returns:
        The numbers of the rows in that order, (rows,).
    """
    by_number = np.argsort(turns)
    places = by_number[np.searchsorted(turns, strata, sorter=by_number)]
    by_place = np.argsort(places, kind="stable")
    rounds = np.empty(len(strata), np.int64)
    rounds[by_place] = np.arange(len(strata)) - np.searchsorted(places[by_place], places[by_place])
    return np.lexsort((places, rounds))
