"""`python -m collapse_lab.verify PATH...`: the papers' claims, judged from run folders."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from collapse_lab.errors import UserError, did_you_mean


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when nothing is "not reproduced", 1 when something is, 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m collapse_lab.verify",
        description="Judges the papers' claims from the ledgers at or below each PATH: reproduced, not reproduced, "
        "inconclusive, or not run, with the value measured, its interval, and the command that would run it.",
        epilog="Exit code: 0 nothing is not reproduced; 1 something is; 2 bad input.",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="run folders, or folders of runs")
    parser.add_argument("--paper", action="append", default=[], metavar="NAME", help="of these papers only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the judgements there too")
    parser.add_argument(
        "--claims", action="append", default=[], type=Path, metavar="FILE", help="claims of your own, not the papers'"
    )
    given = parser.parse_args(arguments)
    try:
        return _run(given)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(given: argparse.Namespace) -> int:
    # scipy, rich and Hydra take longer to import than --help may last
    from rich.console import Console

    from collapse_lab.results.collect import collect
    from collapse_lab.verify.claims import read, shipped
    from collapse_lab.verify.judgement import judged
    from collapse_lab.verify.table import show

    claims = [claim for path in given.claims or shipped() for claim in read(path)]
    papers = {claim.paper for claim in claims}
    for name in given.paper:
        if name not in papers:
            raise UserError(f"there are no claims of a paper '{name}'; {did_you_mean(name, papers)}")
    runs = collect(given.paths).runs
    judgements = [judged(claim, runs) for claim in claims if not given.paper or claim.paper in given.paper]
    show(judgements, Console())
    if given.json is not None:
        try:
            given.json.write_text(json.dumps([each.plain() for each in judgements], indent=1, allow_nan=False) + "\n")
        except OSError as error:
            raise UserError(f"the judgements cannot be written to '{given.json}': {error.strerror}") from error
    return 1 if any(each.verdict == "not reproduced" for each in judgements) else 0


if __name__ == "__main__":
    sys.exit(main())
