"""What the probes of discrete distributions need: known probabilities, and a histogram that is fitted to them."""

from __future__ import annotations

from collapse_lab.datasets.categories import Categories
from collapse_lab.errors import UserError
from collapse_lab.models.discrete import Discrete


def known_categories(truth: object, probe: str) -> Categories:
    """Return the data set of a probe, whose probabilities are known.

    Args:
        truth: The data set.
        probe: The probe's name in the configuration.

    Raises:
        UserError: The data set has no known probabilities.
    """
    if not isinstance(truth, Categories):
        raise UserError(
            f"probes=[{probe}] compares with known probabilities, and {type(truth).__name__} has none; give "
            "dataset=categories"
        )
    return truth


def histogram(model: object, probe: str) -> Discrete:
    """Return the model of a probe, which is a histogram.

    Args:
        model: The model.
        probe: The probe's name in the configuration.

    Raises:
        UserError: The model is of another family.
    """
    if not isinstance(model, Discrete):
        raise UserError(f"probes=[{probe}] needs model=discrete; {type(model).__name__} is another family")
    return model
