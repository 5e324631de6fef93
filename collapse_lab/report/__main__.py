"""Run `python -m collapse_lab.report PATH...`: write the page, or one figure, from run folders."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence
from pathlib import Path

from collapse_lab.errors import UserError
from collapse_lab.storage.ledger import LEDGER


def main(arguments: Sequence[str] | None = None) -> int:
    """Write what the command line asks for.

    Args:
        arguments: The command line without the program's name; None takes that of this process.

    Returns:
        Exit code 0 when the page was written, 1 when it was written and a run in it is not complete, 2 for bad input.
    """
    parser = argparse.ArgumentParser(
        prog="collapse-lab report",
        description="Write one self-contained HTML page about one run, a sweep or several experiments. It has curves, "
        "dose and response, a phase diagram, samples, the class histogram, tables to sort and filter, every number as "
        "CSV, and every plot as SVG and PDF. Runs that must not be compared are shown in separate groups.",
        epilog="Exit code: 0 written; 1 written, but a run diverged, is not finished or cannot be read; 2 bad input.",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="run folders, or folders of runs")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page (default: report.html in PATH)")
    parser.add_argument(
        "--knobs",
        type=lambda text: tuple(knob.strip() for knob in text.split(",")),
        default=(),
        metavar="A,B",
        help="the two settings on the axes of the phase diagram, across and up (default: chosen from the sweep)",
    )
    parser.add_argument("--figures", type=Path, metavar="DIR", help="also write every plot of the page, as SVG and PDF")
    parser.add_argument(
        "--table",
        type=Path,
        metavar="FILE",
        help="also write every number as a tidy table, a row each with interval and floor (.csv or .parquet)",
    )
    parser.add_argument(
        "--means",
        type=Path,
        metavar="FILE",
        help="also write the mean over seeds of every number, with its 95 %% interval and the number of seeds (.csv or "
        ".parquet)",
    )
    parser.add_argument(
        "--differences",
        type=Path,
        metavar="FILE",
        help="also write the differences from the control, paired by seed: mean, interval, n, p, p after Holm's method "
        "(.csv or .parquet)",
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write every number of every generation as CSV")
    parser.add_argument(
        "--figure", type=Path, metavar="FILE", help="write one figure (png, svg, pdf) instead of the page"
    )
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        help="the metric of that one figure; give it again for one more panel beside it (default: FID)",
    )
    options = parser.parse_args(arguments)
    try:
        return _run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    # Because the import of matplotlib takes longer than --help may take, import these modules here.
    from collapse_lab.report.export import check_suffix, write_csv, write_frame
    from collapse_lab.report.page import compose, write_figures, write_page
    from collapse_lab.report.paper import save
    from collapse_lab.results.collect import collect
    from collapse_lab.results.compared import from_controls
    from collapse_lab.results.frames import of_collection
    from collapse_lab.results.means import of_seeds

    for path in (options.table, options.means, options.differences):
        if path is not None:
            check_suffix(path)
    collection = collect(options.paths, strict=False)
    if options.figure is not None:
        print(save(collection, options.figure, options.metric))
    else:
        groups = compose(collection, options.knobs)
        print(write_page(groups, options.out or _default_out(options.paths)))
        if options.figures is not None:
            print(f"{len(write_figures(groups, options.figures))} files in {options.figures}")
    if options.csv is not None:
        print(write_csv(collection, options.csv))
    if options.table is not None:
        print(write_frame(of_collection(collection), options.table))
    if options.means is not None:
        print(write_frame(of_seeds(collection), options.means))
    if options.differences is not None:
        print(write_frame(from_controls(collection), options.differences))
    for warning in collection.warnings:
        print(f"note: {warning}", file=sys.stderr)
    return 1 if collection.unreadable or any(run.status != "complete" for run in collection.runs) else 0


def _default_out(paths: Sequence[Path]) -> Path:
    if len(paths) > 1:
        return Path("report.html")
    folder = paths[0].parent if paths[0].name == LEDGER else paths[0]
    return folder / "report.html"


if __name__ == "__main__":
    # Looking for cycles among the objects of a thousand ledgers takes a sixth of the time, and this process ends soon,
    # so switch the collection of garbage off.
    gc.disable()
    sys.exit(main())
