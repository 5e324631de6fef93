#!/usr/bin/env python
"""Find by bisection the smallest ratio at which a metric of the last generation crosses a bound.

    python multirun_scripts/threshold_ratio.py seen/classifier/recall 0.5 +experiment=nepotistic

Each step runs one cell, or reads it where it has been run: the same line goes on after an interruption. The metric has
to grow or to fall with the ratio all the way; the first two cells, ratio=0 and ratio=1, have to lie on either side.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from collapse_lab import compose, prepare
from collapse_lab.errors import UserError
from collapse_lab.results.objective import objective_of


def threshold(value: Callable[[float], float], bound: float, steps: int = 7) -> tuple[float, float]:
    """Return two ratios between which a metric crosses a bound; their distance is 2**-steps.

    Args:
        value: returns the metric at a ratio.
        bound: what it crosses.
        steps: how many ratios between 0 and 1 are looked at.

    Raises:
        UserError: the metric lies on the same side of the bound at 0 and at 1.
    """
    low, high = 0.0, 1.0
    below = value(low) < bound
    if below == (value(high) < bound):
        raise UserError(f"the metric lies on the same side of {bound} at ratio=0 and at ratio=1; give another bound")
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if (value(middle) < bound) == below else (low, middle)
    return low, high


def main(arguments: Sequence[str]) -> int:
    """Print the threshold; return exit code 0, or 2 for bad input."""
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    metric, bound, *overrides = arguments

    def value(ratio: float) -> float:
        result = prepare(compose(*overrides, f"ratio={ratio}")).run()
        number = objective_of(result.records, metric)
        print(f"ratio={ratio:g}: {metric} {number:.4g}", flush=True)
        return number

    try:
        low, high = threshold(value, float(bound))
    except (UserError, ValueError) as error:
        print(f"threshold_ratio.py: {error}", file=sys.stderr)
        return 2
    print(f"{metric} crosses {bound} between ratio={low:g} and ratio={high:g}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
