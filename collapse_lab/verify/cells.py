"""The configurations that a claim asks for, and how the configuration of a run differs from one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.metrics.catalogue import metric_of
from collapse_lab.results.names import Name
from collapse_lab.results.run import Run
from collapse_lab.results.settings import flattened
from collapse_lab.verify.claims import Claim
from collapse_lab.verify.commands import override_line

ABSENT = object()
# No one would choose this seed, so the settings that have it in a composed configuration repeat the seed
_SEED = 999_999_937
# How rows are read and kept, and how many are computed at a time, changes no number beyond chance
_FREE = ("root", "cache", "device", "sampling_batch", "bootstrap")
_MEASURED = ("features", "metrics", "probes")
# What is done to the data: a run with another family, policy or curation is no smaller version of the claim's runs
_METHOD = frozenset({"name", "model._target_", "mixing._target_", "curation._target_"})


@dataclass(frozen=True)
class Cell:
    """Hold the whole configuration of one group of runs.

    Attributes:
        flat: Its settings by dotted name.
        conditions: The names of the settings that make a run one of the group at any size: what its own overrides
            change or name, the family, the policy and the curation.
        free: The names of the settings that repeat the seed or the number of generations.
        line: The overrides that make the configuration.
    """

    flat: Mapping[str, Any]
    conditions: frozenset[str]
    free: frozenset[str]
    line: tuple[str, ...] = ()

    def differences(self, run: Run) -> list[str]:
        """Return the names of the settings, other than the free ones, in which a run differs from the cell.

        A feature space, a metric or a probe that only one of the two has is no difference: it changes no other number.
        A setting that a run of an earlier version does not have counts as its default, or else as null.
        """
        keys = dict.fromkeys((*self.flat, *run.flat))
        both = {_node(key) for key in self.flat} & {_node(key) for key in run.flat}
        return [
            key
            for key in keys
            if not self.is_free(run, key)
            and (key.partition(".")[0] not in _MEASURED or _node(key) in both)
            and not _equal(self.flat.get(key), run.flat.get(key))
            and not (self._is_missing(run, key) and key in _defaults(*self.line))
        ]

    def meets(self, run: Run) -> bool:
        """Return whether a run is one of the group, at the claim's setting or at another.

        Defaults are looked up last, for a run that is one of the group but for settings that it does not have, because
        that imports the classes, and torch with them.
        """
        other = [key for key in self.conditions if not _equal(self.flat.get(key, ABSENT), run.flat.get(key, ABSENT))]
        return all(self._is_missing(run, key) for key in other) and (
            not other or _defaults(*self.line).issuperset(other)
        )

    def _is_missing(self, run: Run, key: str) -> bool:
        """Return whether the configuration has a setting that the run does not have."""
        return key not in run.flat and key in self.flat

    def is_free(self, run: Run, key: str) -> bool:
        """Return whether a setting of a run may be any, or only repeats its seed or its number of generations."""
        last = key.rpartition(".")[2]
        repeats = key in self.free and run.flat.get(key) == run.flat.get(last)
        return repeats or key in ("seed", "generations") or last in _FREE


def cells(claim: Claim) -> dict[str, Cell]:
    """Return the cell of each group of a claim, by the group's name.

    Raises:
        UserError: No preset can make a cell, or the runs of a cell would never measure what the claim is about.
    """
    found = {}
    for name, overrides in claim.groups.items():
        where = f"{claim.paper}, {claim.id}: the group '{name}'"
        line = override_line(claim, overrides)
        experiment = {"experiment": overrides["experiment"]} if "experiment" in overrides else {}
        try:
            flat, base = _composed(*line), _composed(*override_line(claim, experiment))
        except UserError as error:
            raise UserError(f"{where} asks for {' '.join(line)}, which no preset can make: {error}") from error
        _check_measured(claim, flat, where)
        named = [key for key in overrides if key != "experiment"]
        changed = {key for key in {*flat, *base} if not _equal(flat.get(key, ABSENT), base.get(key, ABSENT))}
        changed |= {key for key in flat if any(key == name or key.startswith(f"{name}.") for name in named)}
        free = {
            key
            for key, value in flat.items()
            if value == _SEED or (key.endswith(".generations") and value == flat["generations"])
        }
        plain = {key: value for key, value in flat.items() if value != _SEED}
        conditions = frozenset(changed - free | _METHOD & flat.keys()) - {"generations"}
        found[name] = Cell(plain, conditions, frozenset(free), tuple(line))
    return found


@cache
def _configuration(*line: str) -> dict[str, Any]:
    # Because Hydra takes long to import, --help does without it
    from collapse_lab.config.composing import compose
    from collapse_lab.config.signature import canonical

    return canonical(compose(*line, f"seed={_SEED}").cfg)


@cache
def _composed(*line: str) -> dict[str, Any]:
    return flattened(_configuration(*line))


@cache
def _defaults(*line: str) -> frozenset[str]:
    """Return the names of the settings of a configuration that have their defaults, those of whole nodes included."""
    from collapse_lab.config.signature import at_defaults

    names = at_defaults(_configuration(*line))
    return frozenset(
        key for key in _composed(*line) if any(key == name or key.startswith(f"{name}.") for name in names)
    )


def _check_measured(claim: Claim, flat: Mapping[str, Any], where: str) -> None:
    """Refuse a number that the runs of a cell do not have: of a feature space, prompt set, metric or generation."""
    _check_generations(claim, flat, where)
    _check_metrics(claim, flat, where)
    for name in (Name.of(metric) for test in claim.tests for metric in test.metrics):
        for group, part in (("features", name.features), ("prompts.sets", name.subset)):
            known = dict.fromkeys(key.split(".")[group.count(".") + 1] for key in flat if key.startswith(f"{group}."))
            if part and part not in known:
                raise UserError(
                    f"{where} never measures '{name.key}': its runs have no {group}.{part}, but "
                    f"{', '.join(known) or 'none'}; name one of these, or add {part} to 'setting'"
                )
        members = dict.fromkeys(key.split(".")[2] for key in flat if key.startswith("population.members."))
        if name.member and name.member not in members:
            raise UserError(
                f"{where} has no member '{name.member}', of which it asks '{name.key}'; "
                f"{did_you_mean(name.member, members)}"
            )


def _check_generations(claim: Claim, flat: Mapping[str, Any], where: str) -> None:
    """Refuse a generation after the last one of a cell."""
    last = flat["generations"]
    for test in claim.tests:
        for key in ("generation", "since", "middle", "until"):
            asked = test.arguments.get(key)
            if isinstance(asked, int) and isinstance(last, int) and asked > last:
                raise UserError(
                    f"{where} ends with generation {last}, and {test.statistic} asks for {key} {asked}; "
                    f"ask for an earlier one, or add 'generations: {asked}' to 'setting'"
                )


def _check_metrics(claim: Claim, flat: Mapping[str, Any], where: str) -> None:
    """Refuse a metric that the runs of a cell do not compute, unless a class of the user may give it."""
    classes = {
        key.split(".")[1]: str(flat[key]) for key in flat if key.startswith("metrics.") and key.endswith("._target_")
    }
    if any(not path.startswith("collapse_lab.") for path in classes.values()):
        return
    # A metric may stand under another name, so its module counts as well
    computed = {*classes, *(path.split(".")[-2] for path in classes.values())}
    for name in (Name.of(metric) for test in claim.tests for metric in test.metrics):
        metric = metric_of(name.metric)
        if name.features and metric is not None and metric not in computed:
            raise UserError(
                f"{where} never measures '{name.key}': its runs have no metrics.{metric}, but "
                f"{', '.join(classes) or 'none'}; name one of these, or add 'metrics: [..., {metric}]' to 'setting'"
            )


def _node(key: str) -> str:
    """Return the first two parts of a dotted name: features.classifier of features.classifier.width."""
    return ".".join(key.split(".")[:2])


def _equal(a: Any, b: Any) -> bool:
    """Return whether two settings are the same: 1 and 1.0 are, True and 1 are not."""
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)
