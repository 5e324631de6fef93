"""Write one self-contained page about the ledgers of a run, a sweep or several experiments.

No module of this package imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["write_report"]


def write_report(runs: Sequence[Path], out: Path) -> Path:
    """Write one self-contained page about all runs at or below the given paths.

    Args:
        runs: Run folders, ledgers, or folders of runs.
        out: The file of the page.

    Returns:
        `out`.

    Raises:
        UserError: A path is missing, a ledger is corrupt, no run has a record, or `out` cannot be written.
    """
    # Because the import of matplotlib takes longer than --help may take, import these modules here.
    from collapse_lab.report.page import compose, write_page
    from collapse_lab.results.collect import collect

    return write_page(compose(collect(runs)), out)
