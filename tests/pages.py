"""Write a line in the place of a run's page, because to draw a page takes longer than many a run that is tested."""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
from pathlib import Path


def draw_none() -> None:
    """Let runs in this process, and in those that are forked from it, write a line where they would draw their page.

    What has imported `write_report` by now keeps the real one: the tests of pages, and the commands that draw them.
    """
    from collapse_lab import report
    from collapse_lab.storage.files import write_whole

    @wraps(report.write_report)
    def written(runs: Sequence[Path], out: Path) -> Path:
        write_whole(out, "<html>not drawn</html>\n")
        return out

    report.write_report = written
