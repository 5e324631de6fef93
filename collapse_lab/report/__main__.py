"""`python -m collapse_lab.report PATH...`: the page, or one figure, from run folders."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence
from pathlib import Path

from collapse_lab.errors import UserError
from collapse_lab.storage.ledger import LEDGER


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when the page was written, 1 when a run in it is not complete, 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m collapse_lab.report",
        description="Writes one self-contained HTML page about one run, a sweep or several experiments: curves, dose "
        "and response, phase diagram, samples, class histogram, tables to sort and filter, every number as CSV, and "
        "every plot as SVG and PDF. Runs that must not be compared have parts of their own.",
        epilog="Exit code: 0 written; 1 written, but a run diverged or is not finished; 2 bad input.",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="run folders, or folders of runs")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page (default: report.html in PATH)")
    parser.add_argument(
        "--knobs",
        type=lambda text: tuple(part.strip() for part in text.split(",")),
        default=(),
        metavar="A,B",
        help="the two settings that the phase diagram is over, across and up (default: chosen from what was swept)",
    )
    parser.add_argument("--figures", type=Path, metavar="DIR", help="write every plot of the page too, as SVG and PDF")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write every number of every generation too")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="write one figure (png, svg, pdf), not the page")
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        help="of the one figure; again for a panel beside it (default: FID)",
    )
    given = parser.parse_args(arguments)
    try:
        return _run(given)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(given: argparse.Namespace) -> int:
    # matplotlib takes longer to import than --help may last
    from collapse_lab.report.export import write_csv
    from collapse_lab.report.page import compose, write_figures, write_page
    from collapse_lab.report.paper import save
    from collapse_lab.results.collect import collect

    collection = collect(given.paths)
    if given.figure is not None:
        print(save(collection, given.figure, given.metric))
    else:
        parts = compose(collection, given.knobs)
        print(write_page(parts, given.out or _default(given.paths)))
        if given.figures is not None:
            print(f"{len(write_figures(parts, given.figures))} files in {given.figures}")
    if given.csv is not None:
        print(write_csv(collection, given.csv))
    for warning in collection.warnings:
        print(f"note: {warning}", file=sys.stderr)
    return 0 if all(run.status == "complete" for run in collection.runs) else 1


def _default(paths: Sequence[Path]) -> Path:
    if len(paths) > 1:
        return Path("report.html")
    folder = paths[0].parent if paths[0].name == LEDGER else paths[0]
    return folder / "report.html"


if __name__ == "__main__":
    # To look for cycles among the objects of a thousand ledgers takes a sixth of the time, and the process ends soon.
    gc.disable()
    sys.exit(main())
