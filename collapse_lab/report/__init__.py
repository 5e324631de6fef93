"""One self-contained page from the ledgers of runs, a sweep or several experiments; never imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["write_report"]


def write_report(runs: Sequence[Path], out: Path) -> Path:
    """Writes one self-contained page about the runs at or below `runs` to `out`, and returns `out`.

    Raises:
        UserError: a path is missing, a ledger is corrupt, no run has a record, or `out` cannot be written.
    """
    # Imported here, since matplotlib takes longer to import than --help may last.
    from collapse_lab.report.page import compose, write_page
    from collapse_lab.results.collect import collect

    return write_page(compose(collect(runs)), out)
