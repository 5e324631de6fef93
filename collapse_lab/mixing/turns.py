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
        UserError: no row has a label or a caption.
    """
    prompts = np.unique(pool.prompts)
    if len(prompts) == 1 and (pool.labels < 0).all():
        raise UserError(
            "mixing.stratify=true draws as many rows of every prompt, and all rows of this data set have the same "
            "prompt and no label; give mixing.stratify=false"
        )
    return prompts[seeds.child("turns").numpy().permutation(len(prompts))]


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
