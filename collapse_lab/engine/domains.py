"""Which real rows belong to which member of a population: its own private rows, and the public ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from collapse_lab.engine.population import Population
from collapse_lab.errors import UserError, did_you_mean

PUBLIC = 0  # the owner of a real row on which every member may train; row k + 1 is private to member k
NOBODY = -1  # of a real row on which no member trains


def check_domains(population: Population, sets: Collection[str]) -> None:
    """Refuse names of prompt sets that the run does not have.

    Args:
        population: the members and the prompt sets of their rows.
        sets: the names of the prompt sets.

    Raises:
        UserError: a name is no prompt set.
    """
    named = {f"private.{member}": subset for member, subset in population.private.items()}
    named |= {f"generates.{member}": subset for member, subset in population.generates.items()}
    named |= {} if population.public is None else {"public": population.public}
    for place, subset in named.items():
        if subset not in sets:
            raise UserError(f"population.{place} names no prompt set: '{subset}'; {did_you_mean(subset, sets)}")


def owners_of(population: Population, masks: Mapping[str, np.ndarray], rows: int) -> np.ndarray | None:
    """Return the owner of each real row: 0 for public rows, k + 1 for those of member k, -1 for rows of nobody.

    Args:
        population: the members and the prompt sets of their rows.
        masks: prompt set -> which of the rows belong to it, (n,) bool.
        rows: n.

    Returns:
        (n,) int64; None where no member has rows of its own. Without `population.public`, all rows that are private to
        nobody are public.

    Raises:
        UserError: a row belongs to two members, or is private and public.
    """
    if not population.private:
        return None
    owners = np.full(rows, PUBLIC if population.public is None else NOBODY, np.int64)
    taken = np.zeros(rows, bool)
    numbered = enumerate(population.names)
    parts = [(f"the private rows of '{name}'", population.private.get(name), k + 1) for k, name in numbered]
    for words, subset, owner in [*parts, ("the public rows", population.public, PUBLIC)]:
        if subset is None:
            continue
        mask = masks[subset]
        shared = int((taken & mask).sum())
        if shared:
            raise UserError(
                f"{words} are the prompt set '{subset}', and {shared} of its {int(mask.sum())} rows belong to another "
                "member already; give each member, and the public, a prompt set with rows of its own"
            )
        taken |= mask
        owners[mask] = owner
    return owners
