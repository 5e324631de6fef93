"""Phases: one policy after another over the generations, as in healing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from collapse_lab.engine.pool import Provenance
from collapse_lab.errors import UserError
from collapse_lab.mixing.base import Policy, Request


@dataclass(frozen=True)
class Phase:
    """A policy, and the last generation that it governs; None on the last phase: to the end."""

    policy: Policy
    until: int | None = None


class Phases(Policy):
    """The policy of the first phase that reaches the generation asked for.

    Raises:
        UserError: the boundaries do not increase, or the last phase has one.
    """

    def __init__(self, phases: Sequence[Phase], initial: int | str | None = None) -> None:
        bounds = [phase.until for phase in phases[:-1] if phase.until is not None]
        rising = len(bounds) == len(phases) - 1 and bounds == sorted(set(bounds))
        if not rising or phases[-1].until is not None:
            raise UserError(
                "mixing.phases is a list of policies, each but the last with a rising `until` (the last generation "
                f"it governs), the last without; got until={[phase.until for phase in phases]}"
            )
        super().__init__(initial)
        self.phases = list(phases)
        horizons = [phase.policy.horizon for phase in phases]
        self.horizon = None if None in horizons else max(h for h in horizons if h is not None)

    def later(self, pool: Provenance, request: Request) -> np.ndarray:
        return next(
            phase.policy for phase in self.phases if phase.until is None or request.generation <= phase.until
        ).later(pool, request)
