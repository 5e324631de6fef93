"""Let prompts take turns, so that every prompt gives as many rows to a training set."""

from __future__ import annotations

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.seeds import Seeds
from collapse_lab.types import Provenance


def order_of_turns(pool: Provenance, seeds: Seeds) -> np.ndarray:
    """Return the prompts of a pool in a random order.

    Args:
        pool: the provenance of all rows so far.
        seeds: the place of the draw; every generation has another order, so that no prompt is always the first.

    Returns:
        The numbers of the prompts, (prompts,), each once.

    Raises:
        UserError: no row has a label or a caption, or none has a label and each real row has a caption of its own.
    """
    prompts = np.unique(pool.prompts)
    if (pool.labels < 0).all():
        _refuse_void(pool, prompts)
    return prompts[seeds.child("turns").numpy().permutation(len(prompts))]


def _refuse_void(pool: Provenance, prompts: np.ndarray) -> None:
    """Refuse to let prompts take turns that stratify nothing, where no row has a label."""
    if len(prompts) == 1:
        raise UserError(
            "mixing.stratify=true draws as many rows of every prompt, and all rows of this data set have the same "
            "prompt and no label; give mixing.stratify=false"
        )
    real = pool.real.where(pool.real.eligible)
    # Prompts of the user's own, which no real row has, may still be strata of the synthetic rows
    if 0 < len(real) == len(np.unique(real.prompts)) and np.isin(pool.synthetic.prompts, real.prompts).all():
        raise UserError(
            f"mixing.stratify=true draws as many rows of every group, and each of the {len(real)} real rows has a "
            "caption of its own and no label, so that it would be a group by itself; name the column of the groups "
            "(dataset.label_column=group) and give the rows of a group one caption (dataset.caption_column=null "
            "dataset.templates=['a photo of a {}']), or give mixing.stratify=false"
        )


def in_turns(prompts: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Return the order in which rows are taken if their prompts take turns.

    In every round each prompt gives its next row, in the order of `turns`; a prompt without rows left is skipped. So of
    the first n rows in this order, each prompt gives floor(n / prompts) or one more, or all of its rows.

    Args:
        prompts: the prompt of each row, (rows,).
        turns: every prompt once, in the order of a round.

    Returns:
        The numbers of the rows in that order, (rows,).
    """
    by_number = np.argsort(turns)
    places = by_number[np.searchsorted(turns, prompts, sorter=by_number)]
    by_place = np.argsort(places, kind="stable")
    rounds = np.empty(len(prompts), np.int64)
    rounds[by_place] = np.arange(len(prompts)) - np.searchsorted(places[by_place], places[by_place])
    return np.lexsort((places, rounds))
