"""The population: which models train, from which weights, on whose real rows, and on whose output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.sizes import SCHEDULE

Lineage = Literal["scratch", "previous", "first", "pretrained"]
Matrix = Sequence[Sequence[float]]
Exposure = str | Matrix  # who learns from whom: a name of NAMED, or a matrix

NAMED = ("own", "complete", "ring", "star", "one_way")


@dataclass(frozen=True)
class _Exposed:
    """Hold the matrix of one generation, and whether a name stands for it."""

    rows: list[list[float]]
    named: bool


class Population:
    """Hold K named models, and how much each of them learns from the others' output.

    Names of exposures, of which row i says what model i learns from: `own` is its own output alone; `complete` is all
    models alike, itself among them; `ring` is the model before it, and for the first one the last; `star` is the first
    model, and for the first one all others alike; `one_way` is the model before it, and for the first one itself.

    Args:
        lineage: where the weights of generation 1 and later start: `scratch` (where generation 0 starts), `previous`
            (the same model's last generation), `first` (the same model's generation 0), `pretrained` (the weights that
            `model.pretrained` names, which have to be there). Generation 0 starts from the pretrained weights if there
            are any, else from a fresh initialisation. Fits that start like generation 0 take `trainer.steps`, the
            others `trainer.finetune_steps`. Members may differ: {bold: scratch, plain: first}; those that it does not
            name start from `previous`.
        members: name -> what differs from the `model` group, such as {bold: {guidance_scale: 4}, plain: {}}.
        exposure: (K, K) row-stochastic; row i says which share of model i's synthetic rows each model makes. A name
            stands for a matrix. {by_generation: [ring, complete]} gives one for each generation, the last of which
            holds on; generation 0 trains on real rows alone. None means `own`, so a single chain is a population of
            one.
        private: member -> the prompt set whose real rows only this member trains on; None means that all real rows
            are public.
        public: the prompt set whose real rows every member may train on; None means all rows that are not private.
        generates: member -> the prompt set whose samples of this member enter the pool; `prompts.retrain` for members
            that it does not name.
        present: member -> its first and its last generation, such as {late: [3, null], early: [0, 5]}; null means the
            last one of the run. Members that it does not name are there all the time. The first generation of a member
            is what generation 0 is to the others: it starts from fresh or pretrained weights and trains on real rows
            alone. What a member draws in its last generation is trained on in the next one. Where `exposure` has a
            name, members learn from those that were there in the generation before, in the same proportions.

    Raises:
        UserError: rows of another length, rows that do not sum to 1, an unknown exposure, an unknown member, or a
            member whose last generation is before its first one.
    """

    def __init__(
        self,
        lineage: Lineage | Mapping[str, Lineage] = "previous",
        members: Mapping[str, Mapping[str, Any] | None] | None = None,
        exposure: Exposure | Mapping[str, Any] | None = None,
        private: Mapping[str, str] | None = None,
        public: str | None = None,
        generates: Mapping[str, str] | None = None,
        present: Mapping[str, Sequence[int | None]] | None = None,
    ) -> None:
        self.members = {name: dict(changes or {}) for name, changes in (members or {"model": {}}).items()}
        by_member = lineage if isinstance(lineage, Mapping) else None
        self.lineages: dict[str, Lineage] = {
            name: by_member.get(name, "previous") if by_member is not None else cast(Lineage, lineage)
            for name in self.members
        }
        self.exposures = _exposures(len(self.members), exposure)
        self.private, self.public, self.generates = dict(private or {}), public, dict(generates or {})
        named_in = {"lineage": by_member, "private": private, "generates": generates, "present": present}
        for argument, named in named_in.items():
            for name in named or {}:
                if name not in self.members:
                    raise UserError(
                        f"population.{argument} names no member: '{name}'; {did_you_mean(name, self.members)}"
                    )
        self.present = {name: _span(name, span) for name, span in (present or {}).items()}
        if self.public is not None and not self.private:
            raise UserError(
                f"population.public={self.public} sets rows apart from private ones, and population.private is empty; "
                "give private={MEMBER: PROMPT_SET}, or leave public out"
            )

    @property
    def names(self) -> list[str]:
        """Return the names of the members, in their order."""
        return list(self.members)

    @property
    def domains(self) -> list[str]:
        """Return the prompt sets of private and of public rows, each once."""
        return list(dict.fromkeys([*self.private.values(), *([] if self.public is None else [self.public])]))

    def teachers(self, member: int) -> dict[int, str]:
        """Return source -> name of the models that one member ever learns from; none if that is itself alone."""
        shares = [exposure.rows[member] for exposure in self.exposures]
        teachers = {k + 1: name for k, name in enumerate(self.names) if any(row[k] > 0 for row in shares)}
        return {} if list(teachers) == [member + 1] else teachers

    def retrains(self, member: int) -> bool:
        """Return whether later generations of one member start from weights of an earlier one."""
        return self.lineages[self.names[member]] in ("previous", "first")

    def first_generation(self, member: int) -> int:
        """Return the generation in which one member is fitted for the first time."""
        return self.present.get(self.names[member], (0, None))[0]

    def is_present(self, member: int, generation: int) -> bool:
        """Return whether one member is fitted, and draws, in a generation."""
        first, last = self.present.get(self.names[member], (0, None))
        return first <= generation and (last is None or generation <= last)

    def sources(self, member: int, generation: int = 0) -> dict[int, float]:
        """Return source number (k + 1 for model k) -> share, for one member in one generation.

        In the first generation of a member nothing is drawn from the sources.

        Raises:
            UserError: the member would learn from members that drew nothing in the generation before.
        """
        exposed = self.exposures[min(generation, len(self.exposures) - 1)]
        row = exposed.rows[member]
        kept = [share * self.is_present(k, generation - 1) for k, share in enumerate(row)]
        if generation > self.first_generation(member) and kept != row:
            if not exposed.named or sum(kept) == 0:
                absent = [name for name, share, left in zip(self.names, row, kept, strict=True) if share > left]
                raise UserError(
                    f"in generation {generation} '{self.names[member]}' would learn from {', '.join(absent)}, who drew "
                    f"nothing in generation {generation - 1} (population.present); give population.exposure="
                    f"{{{SCHEDULE}: […]}} with shares of members who did, or exposure=complete"
                )
            row = [share / sum(kept) for share in kept]
        return {k + 1: share for k, share in enumerate(row)}


def _span(name: str, span: Sequence[int | None]) -> tuple[int, int | None]:
    """Return the first and the last generation of a member."""
    if len(span) != 2 or span[0] is None or span[0] < 0:
        raise UserError(f"population.present.{name} holds a first and a last generation, such as [3, null]; got {span}")
    first, last = span[0], span[1]
    if last is not None and last < first:
        raise UserError(f"population.present.{name} ends in generation {last}, before it begins in {first}")
    return first, last


def _exposures(size: int, configured: Exposure | Mapping[str, Any] | None) -> list[_Exposed]:
    if not isinstance(configured, Mapping):
        return [_exposure(size, configured)]
    listed = configured.get(SCHEDULE)
    if set(configured) != {SCHEDULE} or not isinstance(listed, list) or not listed:
        raise UserError(
            f"population.exposure takes a name, a matrix, or {{{SCHEDULE}: [ring, complete]}}; got {dict(configured)}"
        )
    return [_exposure(size, entry) for entry in listed]


def _exposure(size: int, rows: Exposure | None) -> _Exposed:
    if rows is None or isinstance(rows, str):
        return _Exposed(_named("own" if rows is None else rows, size), named=True)
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
    return _Exposed([[float(share) for share in row] for row in rows], named=False)


def _named(name: str, size: int) -> list[list[float]]:
    """Return the matrix of a named exposure."""
    if name not in NAMED:
        raise UserError(f"population.exposure is no matrix and no name: '{name}'; {did_you_mean(name, NAMED)}")
    if name == "complete":
        return [[1 / size] * size for _ in range(size)]
    before = {"own": range(size), "ring": [size - 1, *range(size - 1)], "star": [0] * size}
    teachers = before.get(name, [0, *range(size - 1)])
    rows = [[float(j == teacher) for j in range(size)] for teacher in teachers]
    if name == "star" and size > 1:
        rows[0] = [0.0, *[1 / (size - 1)] * (size - 1)]
    return rows
