"""Check what a mixing policy drew, because an own policy that draws wrong rows would measure another question."""

from __future__ import annotations

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.types import DrawRequest, MixingPolicy, Provenance


def check_draw(ids: np.ndarray, pool: Provenance, generation: int, policy: MixingPolicy) -> None:
    """Refuse a training set with rows that the policy may not draw.

    Args:
        ids: what the policy returned.
        pool: the provenance that the policy was given.
        generation: the generation that trains on the rows.
        policy: the policy; where it has a `ratio`, the synthetic share of the rows has to be that.

    Raises:
        UserError: no rows; ids that are not whole numbers, not in the pool, or there twice; synthetic rows in
            generation 0; ineligible rows in a later generation; another synthetic share than the ratio.
    """
    name = type(policy).__name__
    if len(ids) == 0:
        raise UserError(f"the training set of generation {generation} is empty; raise n_train")
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
        raise UserError(f"{name}.draw returns ids of rows, whole numbers (rows,); got {ids.dtype} {ids.shape}")
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) < len(ids):
        raise UserError(f"{name}.draw returned row {unique[counts > 1][0]} twice for generation {generation}")
    strangers = unique[~np.isin(unique, pool.ids)]
    if len(strangers):
        raise UserError(
            f"{name}.draw returned row {strangers[0]} for generation {generation}; its pool has no such row"
        )
    drawn = pool.where(np.isin(pool.ids, unique))
    synthetic = len(drawn.synthetic)
    if generation == 0 and synthetic:
        raise UserError(f"{name}.draw returned {synthetic} synthetic rows for generation 0, which trains on real rows")
    ineligible = int((~drawn.eligible).sum()) if generation else 0
    if ineligible:
        raise UserError(
            f"{name}.draw returned {ineligible} rows for generation {generation} that are not eligible: they belong to "
            "prompts that are not retrained; draw where `pool.eligible` is true"
        )
    ratio = getattr(policy, "ratio", None)
    if generation and ratio is not None and synthetic != round(ratio * len(ids)):
        raise UserError(
            f"{name}.draw returned {synthetic} synthetic rows of {len(ids)} for generation {generation}, and "
            f"ratio={ratio} asks for {round(ratio * len(ids))}"
        )


def weights_of(ids: np.ndarray, pool: Provenance, request: DrawRequest, policy: MixingPolicy) -> np.ndarray | None:
    """Return the weights (n,) that a policy gives the rows it drew, None where all of them count the same.

    Args:
        ids: what the policy drew.
        pool: the provenance that the policy was given.
        request: what the policy was asked for.
        policy: a policy; one without the method `weigh` gives no weights.

    Raises:
        UserError: there is not one finite weight above 0 for each row, or their mean is not 1.
    """
    weigh = getattr(policy, "weigh", None)
    given = None if weigh is None else weigh(pool, request, ids)
    if given is None:
        return None
    weights = np.asarray(given, np.float64)
    sound = weights.shape == ids.shape and bool(np.isfinite(weights).all()) and bool((weights > 0).all())
    if not sound or abs(weights.mean() - 1) > 1e-9:
        raise UserError(
            f"{type(policy).__name__}.weigh returns one number above 0 for each of {len(ids)} rows, of mean 1; got "
            f"{weights.shape} numbers of mean {weights.mean():g}"
        )
    return weights
