"""Ask a curation how much has to be sampled, so that as much remains as without it."""

from __future__ import annotations

import numpy as np
import torch

from collapse_lab.types import Captions, Conditions, Curation, Samples


def enlarged(curation: Curation, conditions: Conditions) -> Conditions:
    """Return the conditions to sample so that `conditions` remain after a curation (`Curation.enlarge`).

    Args:
        curation: a curation step; one without the method `enlarge` is given the conditions as they are.
        conditions: n conditions.

    Returns:
        n conditions or more, of which the first n are `conditions`.
    """
    enlarge = getattr(curation, "enlarge", None)
    more: Conditions = conditions if enlarge is None else enlarge(conditions)
    return more


def from_row(conditions: Conditions, first: int) -> Conditions:
    """Return the conditions from the row `first` on."""
    return conditions.take(np.arange(first, len(conditions)))


def joined(parts: list[Samples]) -> Samples:
    """Return the samples of one list entry after the other as one set."""
    if len(parts) == 1:
        return parts[0]
    texts = [part.captions.texts() if part.captions.table else [""] * len(part) for part in parts]
    captions = Captions.of([text for own in texts for text in own]) if any(map(any, texts)) else Captions()
    return Samples(torch.cat([part.data for part in parts]), np.concatenate([p.labels for p in parts]), captions)
