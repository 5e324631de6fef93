"""The settings that differ between some runs, and the knobs: those of them that do not merely follow another one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from collapse_lab.results.run import Run

MEASURED = ("features", "metrics", "probes")  # the groups whose nodes measure a run and do not change it


def differing_settings(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return the dotted names of all settings that differ between runs, the seed left out.

    A setting that repeats the setting of the root with its name (`mixing.ratio` repeats `ratio`) is left out.

    Args:
        runs: The runs to compare.

    Returns:
        The dotted names: the experiment's name first, then settings nearer to the root before deeper ones.
    """
    keys = {key for run in runs for key in run.flat}
    differing = [key for key in keys if len({frozen_value(run, key) for run in runs}) > 1]
    # A setting that repeats the seed in every run is the seed, so leave it out. A setting that only goes along with
    # the seed (each value has seeds of its own) is no repetition: runs that differ in it must not share a seed group.
    differing = [
        key for key in differing if not (key.endswith("seed") and all(run.flat.get(key) == run.seed for run in runs))
    ]
    differing = [key for key in differing if not (_is_repeated(runs, key) or _is_filled(runs, key))]
    return tuple(sorted(differing, key=lambda key: (key != "name", key.count("."), key)))


def find_knobs(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return the dotted names of the settings that differ between runs, the seed and followers left out.

    A setting follows others where its value can be told from theirs in every run. That only some runs have a metric,
    a feature space or a probe tells no runs apart, unless two of them are alike in everything else, the seed included.

    Args:
        runs: The runs to compare.

    Returns:
        The dotted names: the experiment's name first, then settings nearer to the root before deeper ones.
    """
    differing = differing_settings(runs)
    knobs: list[str] = []
    # Of settings that tell the same runs apart, the first is the knob. Names near the root say most to a reader, and
    # `ratio` is the dose, whose 0 is the control.
    for key in sorted(differing, key=lambda key: (key != "name", key != "ratio")):
        if not _follows(runs, key, knobs):
            knobs.append(key)
    knobs.sort(key=differing.index)
    needed = [knob for knob in knobs if not is_of_measured(runs, knob)]
    places = {(repr(run.seed), *(frozen_value(run, knob) for knob in needed)) for run in runs}
    return tuple(needed if len(places) == len(runs) else knobs)


def find_followers(runs: Sequence[Run], knobs: Sequence[str]) -> tuple[str, ...]:
    """Return the settings that differ along with the knobs, so that a difference need not come from the knobs alone.

    The arguments of a class are left out where the class differs. What measures the runs, and a setting below the root
    that repeats a knob by another name, is left out too. Where the experiment's name is a knob, it stands for all.

    Args:
        runs: The runs.
        knobs: The knobs of these runs.
    """
    if "name" in knobs:
        return ()
    differing = [key for key in differing_settings(runs) if not is_of_measured(runs, key)]
    classes = [key.removesuffix("_target_") for key in (*knobs, *differing) if key.endswith("._target_")]
    return tuple(
        key
        for key in differing
        if key not in (*knobs, "name")
        and not any(key.startswith(node) and key != f"{node}_target_" for node in classes)
        and not any("." in key and _is_equal(runs, key, knob) for knob in knobs)
    )


def is_of_measured(runs: Sequence[Run], key: str) -> bool:
    """Return whether a setting belongs to a metric, a feature space or a probe that has it alike wherever it is."""
    group, *node = key.split(".")[:2]
    if group not in MEASURED or not node:
        return False
    having = [run for run in runs if f"{group}.{node[0]}._target_" in run.flat]
    return len(having) < len(runs) and len({frozen_value(run, key) for run in having}) == 1


def frozen_value(run: Run, key: str) -> Hashable:
    """Return the value of a setting of a run in a form that can be compared and hashed."""
    return repr(run.flat.get(key))


def _follows(runs: Sequence[Run], key: str, knobs: Sequence[str]) -> bool:
    """Return whether `key` follows `knobs`.

    Two conditions hold then: all knobs together determine `key` in all runs, and one knob alone determines it in the
    runs that have it. A class follows no knob that one of its runs lacks, because the class says more than the lack: a
    mixing policy without a share has no `ratio`.
    """
    having = [run for run in runs if key in run.flat]
    able = [knob for knob in knobs if not key.endswith("_target_") or all(knob in run.flat for run in having)]
    return _determined(runs, key, knobs) and any(_determined(having, key, [knob]) for knob in able)


def _determined(runs: Sequence[Run], key: str, by: Sequence[str]) -> bool:
    """Return whether runs that agree in all settings of `by` also agree in `key`."""
    values = [tuple(frozen_value(run, knob) for knob in by) for run in runs]
    return len({(by_value, frozen_value(run, key)) for by_value, run in zip(values, runs, strict=True)}) == len(
        set(values)
    )


def _is_repeated(runs: Sequence[Run], key: str) -> bool:
    """Return whether a setting below the root has, in all runs that have it, the value of its name at the root."""
    root = key.rpartition(".")[2]
    return root != key and any(root in run.flat for run in runs) and _is_equal(runs, key, root)


def _is_equal(runs: Sequence[Run], key: str, other: str) -> bool:
    """Return whether a setting has the value of another one in all runs that have it."""
    return all(other in run.flat and run.flat[key] == run.flat[other] for run in runs if key in run.flat)


def _is_filled(runs: Sequence[Run], key: str) -> bool:
    """Return whether a setting is an empty mapping, which other runs fill with settings that stand for themselves."""
    empty = all(run.flat[key] == {} for run in runs if key in run.flat)
    return empty and any(name.startswith(f"{key}.") for run in runs for name in run.flat)
