"""The population: which models train, from which weights, and on whose output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from collapse_lab.errors import UserError

Lineage = Literal["scratch", "previous", "first", "pretrained"]


class Population:
    """Hold K named models, and how much each of them learns from the others' output.

    Args:
        lineage: where the weights of generation 1 and later start: `scratch` (a fresh initialisation), `previous`
            (the same model's last generation), `first` (the same model's generation 0), `pretrained` (the weights that
            `model.pretrained` names). Generation 0 starts from the pretrained weights if there are any, else from
            scratch.
        members: name -> what differs from the `model` group, such as {bold: {guidance_scale: 4}, plain: {}}.
        exposure: (K, K) row-stochastic; row i says which share of model i's synthetic rows each model makes. None
            means that each model trains on its own output alone, so a single chain is a population of one.

    Raises:
        UserError: rows of another length, or rows that do not sum to 1.
    """

    def __init__(
        self,
        lineage: Lineage = "previous",
        members: Mapping[str, Mapping[str, Any] | None] | None = None,
        exposure: Sequence[Sequence[float]] | None = None,
    ) -> None:
        self.lineage = lineage
        self.members = {name: dict(changes or {}) for name, changes in (members or {"model": {}}).items()}
        self.exposure = _exposure(len(self.members), exposure)

    @property
    def names(self) -> list[str]:
        """Return the names of the members, in their order."""
        return list(self.members)

    def sources(self, member: int) -> dict[int, float]:
        """Return source number (k + 1 for model k) -> share, for one member."""
        return {k + 1: share for k, share in enumerate(self.exposure[member])}


def _exposure(size: int, rows: Sequence[Sequence[float]] | None) -> list[list[float]]:
    if rows is None:
        return [[float(i == j) for j in range(size)] for i in range(size)]
    if len(rows) != size or any(len(row) != size for row in rows):
        raise UserError(
            f"population.exposure has a row and a column per member ({size} x {size}); got {len(rows)} rows of "
            f"{sorted({len(row) for row in rows})}"
        )
    for number, row in enumerate(rows):
        if not (all(share >= 0 for share in row) and abs(sum(row) - 1) <= 1e-9):  # NaN fails both
            raise UserError(
                f"row {number} of population.exposure holds shares that sum to 1; got {list(row)}, "
                f"whose sum is {sum(row):g}"
            )
    return [[float(share) for share in row] for row in rows]
