"""`python -m collapse_lab.verify PATH...`: judge the papers' claims from run folders."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from collapse_lab.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from collapse_lab.results.run import Run
    from collapse_lab.verify.claims import Claim


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge claims as the command line asks, and show the judgements.

    Args:
        arguments: The command line without the program's name; None takes that of the process.

    Returns:
        The exit code: 0 if no claim is "not reproduced", 1 if one is, or if a run cannot be read and is left out, 2 for
        bad input.
    """
    parser = argparse.ArgumentParser(
        prog="collapse-lab verify",
        description="Judges the papers' claims from the ledgers at or below each PATH: reproduced, not reproduced, "
        "inconclusive, or not run, with the value measured, its interval, and the command that would run it. Without a "
        "PATH it lists the claims.",
        epilog="Exit code: 0 no claim is not reproduced; 1 a claim is not reproduced, or a run cannot be read and is "
        "left out; 2 bad input.",
    )
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="run folders, or folders of run folders")
    parser.add_argument(
        "--paper", action="append", default=[], metavar="NAME", help="judge the claims of these papers only"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the judgements to this file too")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write a page of tables to this file too")
    parser.add_argument(
        "--earlier",
        type=Path,
        metavar="FILE",
        help="where these runs have fewer seeds of a claim, or none, take its judgement from this file of --json",
    )
    parser.add_argument(
        "--claims",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="judge the claims of this file instead of the papers' claims",
    )
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = parser.parse_args(words)
    try:
        return _run(options, shlex.join(["collapse-lab", "verify", *words]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace, command: str) -> int:
    # Because scipy, rich and Hydra take long to import, --help does without them
    from rich.console import Console

    from collapse_lab.results.collect import collect
    from collapse_lab.verify.cells import cells
    from collapse_lab.verify.claims import read, shipped
    from collapse_lab.verify.earlier import completed, read_earlier
    from collapse_lab.verify.judgement import corrected, judge_claims
    from collapse_lab.verify.markdown import page
    from collapse_lab.verify.table import show

    claims = [claim for path in options.claims or shipped() for claim in read(path)]
    papers = {claim.paper for claim in claims}
    for name in options.paper:
        if name not in papers:
            raise UserError(f"there are no claims of a paper '{name}'; {did_you_mean(name, papers)}")
    claims = [claim for claim in claims if not options.paper or claim.paper in options.paper]
    collection = collect(options.paths, strict=False) if options.paths else None
    runs = collection.runs if collection else ()
    unreadable = collection.unreadable if collection else ()
    for reason in unreadable:
        print(f"left out: {reason}", file=sys.stderr)
    if options.claims:  # the tests check the papers' claims, and composing all their cells takes half a minute
        _check_metrics(claims, runs)
        for claim in claims:
            cells(claim)
    judgements = judge_claims(claims, runs)
    if options.earlier is not None:
        whole, reasons = completed(judgements, read_earlier(options.earlier))
        judgements = corrected(whole)
        for reason in reasons:
            print(f"left out of {options.earlier}: {reason}", file=sys.stderr)
    show(judgements, Console())
    if options.json is not None:
        plain = [judgement.plain() for judgement in judgements]
        _write(options.json, json.dumps(plain, indent=1, allow_nan=False) + "\n")
    if options.markdown is not None:
        _write(options.markdown, page(judgements, command))
    refuted = any(judgement.verdict == "not reproduced" for judgement in judgements)
    return 1 if refuted or unreadable else 0


def _check_metrics(claims: Sequence[Claim], runs: Sequence[Run]) -> None:
    """Refuse a number that neither this program nor any of the ledgers knows."""
    from collapse_lab.metrics.catalogue import CATALOGUE
    from collapse_lab.results.names import Name

    asked = {metric: claim for claim in claims for test in claim.tests for metric in test.metrics}
    for metric, claim in asked.items():
        if Name.of(metric).quantity is None:
            known = dict.fromkeys(key for run in runs for record in run.records for key in record.metrics)
            if Name.of(metric).key not in known:
                last = Name.of(metric).metric
                near = did_you_mean(metric, known) if known else did_you_mean(last, CATALOGUE)
                raise UserError(
                    f"{claim.paper}, {claim.id}: no ledger has '{metric}': give runs that measured it, or name another "
                    f"number; {near}"
                )


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"the judgements cannot be written to '{path}': {error.strerror}; name a file in a folder that exists"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
