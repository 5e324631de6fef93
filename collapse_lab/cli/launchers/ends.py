"""How a launcher tells Hydra of the end of a cell that returned nothing itself."""

from __future__ import annotations

from hydra.core.utils import JobReturn, JobStatus

from collapse_lab.cli import sweep


def end_of(cell: sweep.Cell, failure: Exception | None) -> JobReturn:
    """Return the end of a cell, failed unless `failure` is None."""
    end = JobReturn(overrides=list(cell.overrides), task_name=cell.folder.name)
    end.status = JobStatus.COMPLETED if failure is None else JobStatus.FAILED
    end.return_value = failure
    return end
