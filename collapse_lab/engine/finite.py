"""Refuse real data that hold NaN or infinity, which every model and every metric would take for numbers."""

from __future__ import annotations

from collapse_lab.errors import UserError
from collapse_lab.types import RealData, Rows


def checked_data(real: RealData[Rows], name: str) -> RealData[Rows]:
    """Return real data, every number of which is finite.

    Args:
        real: training rows, reference rows and, where there are any, validation rows.
        name: the name of the data set, for the message.

    Raises:
        UserError: a row holds NaN or infinity.
    """
    import torch

    splits = {"train": real.train, "reference": real.reference, "validation": real.validation}
    for split, rows in splits.items():
        if rows is None:
            continue
        if rows.data.dtype.is_floating_point and len(rows):
            data = rows.data[:]
            bad = ~torch.isfinite(data.flatten(1)).all(1)
            if bool(bad.any()):
                raise UserError(
                    f"the {split} rows of the data set {name} hold NaN or infinity in {int(bad.sum())} of {len(data)} "
                    f"rows, the first is row {int(bad.nonzero()[0])}: correct or remove them"
                )
    return real
