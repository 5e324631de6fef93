"""`collapse-lab prefetch +experiment=…`: download and check all that a run takes from elsewhere."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from collapse_lab.cli.overrides import add_run_options, cells_of, told
from collapse_lab.errors import UserError

if TYPE_CHECKING:
    from collapse_lab.types import Need


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch what a run or a sweep needs: data sets, networks of features, pipelines, language models, tokenizers.

    Args:
        arguments: the command line without the program's name; None takes that of this process.

    Returns:
        Exit code 0 when everything is there, 1 when something cannot be had, 2 for bad input.
    """
    parser = argparse.ArgumentParser(
        prog="collapse-lab prefetch",
        description="Download and check the data sets, networks, pipelines and tokenizers that a run needs, on a node "
        "with network. What is there already is checked, and no request is made for it.",
        epilog="Exit code: 0 everything is there; 1 something cannot be had, and why is listed; 2 bad input, such as a "
        "path that is wrong, which is listed too: what else the run needs is fetched.",
    )
    parser.add_argument(
        "overrides", nargs="+", metavar="KEY=VALUE", help="as of the run or the sweep: +experiment=nepotistic …"
    )
    add_run_options(parser)
    options = parser.parse_intermixed_args(arguments)
    from collapse_lab.config.composing import compose
    from collapse_lab.config.needs import needs_of

    needs: dict[str, tuple[str, Need]] = {}
    refusals: dict[str, str] = {}  # why -> the place in the configuration
    try:
        for line in told(cells_of(options.overrides)):
            for where, need in needs_of(compose(*line, config_dir=options.config_dir).cfg):
                if isinstance(need, UserError):
                    refusals.setdefault(str(need), where)
                else:
                    needs.setdefault(need.what, (where, need))
    except UserError as error:
        print(f"collapse_lab: {error}", file=sys.stderr)
        return 2
    for why, where in refusals.items():
        print(f"{where}: cannot be had: {why.removeprefix(f'{where}: ')}", file=sys.stderr)
    missing, total = len(refusals) + _missing(list(needs.values())), len(refusals) + len(needs)
    fetched = sum(not need.held for _, need in needs.values())
    if missing:
        print(f"{missing} of {total} things that the run needs cannot be had", file=sys.stderr)
        return 2 if refusals else 1
    if fetched:
        print(f"{fetched} of {total} things that the run needs were fetched, and the others were here")
    elif needs:
        print(f"everything that the run needs is here ({total} things are checked); no request was made")
    else:
        print("the run needs nothing from elsewhere; no request was made")
    return 0


def _missing(needs: Sequence[tuple[str, Need]]) -> int:
    """Fetch and check things behind their places, and return how many of them cannot be had."""
    missing = 0
    for where, need in needs:
        print(f"{where}: {need.what}: {'here, is checked' if need.held else 'is fetched'} …", flush=True)
        try:
            need.obtain()
        except (UserError, OSError) as error:
            missing += 1
            print(f"{where}: {need.what}: cannot be had: {' '.join(str(error).split())}", file=sys.stderr)
    return missing
