"""What a number was compared with: real rows, or what generation 0 made of the same prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from collapse_lab.results.names import Name
from collapse_lab.results.run import Run


def with_reference(name: Name, runs: Sequence[Run]) -> Name:
    """Return a name with the reference that the fingerprints of the runs give, such as "generation 0".

    A quantity that does not compare, such as the CLIP score, and a prompt set with real rows have none.

    Args:
        name: The name.
        runs: The runs, of which those that may be compared agree.
    """
    if name.quantity is not None and not name.quantity.compares:
        return name
    spaces: list[Mapping[str, Any]] = [run.fingerprints.get(name.features, {}) for run in runs]
    references = (
        space[name.subset].get("reference") for space in spaces if isinstance(space.get(name.subset), Mapping)
    )
    return replace(name, reference=str(next(filter(None, references), "")))
