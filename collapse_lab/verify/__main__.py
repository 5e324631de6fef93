"""`python -m collapse_lab.verify PATH...`: judge the papers' claims from run folders."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from collapse_lab.errors import UserError, did_you_mean


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge claims as the command line asks, and show the judgements.

    Args:
        arguments: The command line without the program's name; None takes that of the process.

    Returns:
        The exit code: 0 if no claim is "not reproduced", 1 if one is, 2 for bad input.
    """
    parser = argparse.ArgumentParser(
        prog="collapse-lab verify",
        description="Judges the papers' claims from the ledgers at or below each PATH: reproduced, not reproduced, "
        "inconclusive, or not run, with the value measured, its interval, and the command that would run it.",
        epilog="Exit code: 0 no claim is not reproduced; 1 a claim is not reproduced; 2 bad input.",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="run folders, or folders of run folders")
    parser.add_argument(
        "--paper", action="append", default=[], metavar="NAME", help="judge the claims of these papers only"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the judgements to this file too")
    parser.add_argument(
        "--claims",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="judge the claims of this file instead of the papers' claims",
    )
    options = parser.parse_args(arguments)
    try:
        return _run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    # Because scipy, rich and Hydra take long to import, --help does without them
    from rich.console import Console

    from collapse_lab.results.collect import collect
    from collapse_lab.verify.claims import read, shipped
    from collapse_lab.verify.judgement import judge_claim
    from collapse_lab.verify.table import show

    claims = [claim for path in options.claims or shipped() for claim in read(path)]
    papers = {claim.paper for claim in claims}
    for name in options.paper:
        if name not in papers:
            raise UserError(f"there are no claims of a paper '{name}'; {did_you_mean(name, papers)}")
    runs = collect(options.paths).runs
    judgements = [judge_claim(claim, runs) for claim in claims if not options.paper or claim.paper in options.paper]
    show(judgements, Console())
    if options.json is not None:
        text = json.dumps([judgement.plain() for judgement in judgements], indent=1, allow_nan=False) + "\n"
        try:
            options.json.write_text(text)
        except OSError as error:
            raise UserError(
                f"the judgements cannot be written to '{options.json}': {error.strerror}; name a file in a folder that "
                "exists"
            ) from error
    return 1 if any(judgement.verdict == "not reproduced" for judgement in judgements) else 0


if __name__ == "__main__":
    sys.exit(main())
