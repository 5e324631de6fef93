"""One self-contained page from the ledgers of runs, a sweep or several experiments; never imports torch."""

from collapse_lab.report.page import write_report

__all__ = ["write_report"]
