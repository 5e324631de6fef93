"""Follow one mixing policy after another over the generations, as in healing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.mixing.base import Initial, Policy
from collapse_lab.mixing.turns import Turns
from collapse_lab.types import DrawRequest, Provenance


@dataclass(frozen=True)
class Phase:
    """Hold one policy and the last generation that it governs.

    Attributes:
        policy: the policy of this phase.
        until: the last generation of this phase; None on the last phase, which lasts to the end of the chain.
    """

    policy: Policy
    until: int | None = None


class Phases(Policy):
    """Draw by the policy of the first phase that has not ended before the generation of the request.

    Args:
        phases: the phases in order; `until` rises from phase to phase, and only the last phase has none.
        initial: how many real rows generation 0 trains on: a number, "all", or None for `n_train`.

    Raises:
        UserError: the `until` of the phases do not rise, one before the last is missing, the last phase has one, or a
            policy gives weights to rows.
    """

    def __init__(self, phases: Sequence[Phase], initial: Initial = None) -> None:
        bounds = [phase.until for phase in phases[:-1] if phase.until is not None]
        rising = len(bounds) == len(phases) - 1 and bounds == sorted(set(bounds))
        if not rising or phases[-1].until is not None:
            raise UserError(
                "mixing.phases is a list of phases: `until`, the last generation of a phase, has to rise from phase to "
                f"phase, and only the last phase has none; got until={[phase.until for phase in phases]}"
            )
        for phase in phases:
            if hasattr(phase.policy, "weigh"):
                raise UserError(
                    f"{type(phase.policy).__name__} draws generation 0 and weighs rows itself, which no phase can; "
                    "give it as mixing, and let population.exposure follow a schedule"
                )
        super().__init__(initial)
        self.phases = list(phases)
        horizons = [phase.policy.horizon for phase in phases]
        self.horizon = None if None in horizons else max(h for h in horizons if h is not None)

    def later(self, pool: Provenance, request: DrawRequest) -> np.ndarray:
        """Return the ids that the policy of the current phase draws."""
        return self._current(request).later(pool, request)

    def turns(self, pool: Provenance, request: DrawRequest) -> Turns | None:
        """Return the order of turns of the current phase, which for generation 0 is the first one."""
        return self._current(request).turns(pool, request)

    def _current(self, request: DrawRequest) -> Policy:
        return next(p.policy for p in self.phases if p.until is None or request.generation <= p.until)
