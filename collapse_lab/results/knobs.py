"""The knobs of some runs: the settings that differ between the runs and do not merely follow another setting."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from collapse_lab.results.run import Run


def find_knobs(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return the dotted names of the settings that differ between runs, the seed and followers left out.

    A setting follows others where its value can be told from theirs in every run.

    Args:
        runs: The runs to compare.

    Returns:
        The dotted names: the experiment's name first, then settings nearer to the root before deeper ones.
    """
    keys = {key for run in runs for key in run.flat}
    differing = [key for key in keys if len({frozen_value(run, key) for run in runs}) > 1]
    # A setting that repeats the seed in every run is the seed, so leave it out. A setting that only goes along with
    # the seed (each value has seeds of its own) is a knob: runs that differ in it must not share a seed group.
    differing = [
        key for key in differing if not (key.endswith("seed") and all(run.flat.get(key) == run.seed for run in runs))
    ]
    # A resolved configuration repeats a shortcut of the root in deeper settings, so prefer the name nearest to the
    # root.
    differing.sort(key=lambda key: (key != "name", key.count("."), key))
    knobs: list[str] = []
    for key in differing:
        if not _follows(runs, key, knobs):
            knobs.append(key)
    return tuple(knobs)


def frozen_value(run: Run, key: str) -> Hashable:
    """Return the value of a setting of a run in a form that can be compared and hashed."""
    return repr(run.flat.get(key))


def _follows(runs: Sequence[Run], key: str, knobs: Sequence[str]) -> bool:
    """Return whether `key` follows `knobs`.

    Two conditions hold then: all knobs together determine `key` in all runs, and one knob alone determines it in the
    runs that have it.
    """
    runs_with_key = [run for run in runs if key in run.flat]
    return _determined(runs, key, knobs) and any(_determined(runs_with_key, key, [knob]) for knob in knobs)


def _determined(runs: Sequence[Run], key: str, by: Sequence[str]) -> bool:
    """Return whether runs that agree in all settings of `by` also agree in `key`."""
    values = [tuple(frozen_value(run, knob) for knob in by) for run in runs]
    return len({(by_value, frozen_value(run, key)) for by_value, run in zip(values, runs, strict=True)}) == len(
        set(values)
    )
