"""What every test stands on: shapes checked at run time, one thread, no network, and what is skipped when."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Sequence

import pytest
import torch
from hypothesis import settings
from jaxtyping import install_import_hook

from tests import pages, typecheck, unsynced

gc.disable()  # until all tests are collected, because imports drop next to nothing, and to look for it takes long

# For what is imported from here on, and for every process that a test starts
os.environ |= {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1"}
torch.set_num_threads(1)
unsynced.wait_for_no_disk()  # processes that a test starts anew wait for it, and forked ones do not

# From here on an array of another shape or dtype than its annotation is an error at the call. It has to come before
# anything imports these modules: what is imported already stays unchecked.
CHECKED: Sequence[str] = (
    "collapse_lab.metrics",
    "collapse_lab.images",
    "collapse_lab.features.network",
    "collapse_lab.nn",
    "collapse_lab.theory",
)
install_import_hook(CHECKED, f"{typecheck.__name__}.numeric")

from tests.nursery import nursery as nursery  # noqa: E402 - a fixture, and it imports the package

# A deadline is a timed assertion, and says more of the machine than of the code
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# marker: the variable that lets its tests run (`-m marker` does too), and why they do not run otherwise
ASKED_FOR = {
    "hub": ("COLLAPSE_LAB_FETCH", "downloads; set COLLAPSE_LAB_FETCH=1 or where-reachable, or give -m hub"),
    "slow": ("COLLAPSE_LAB_SLOW", "takes minutes; set COLLAPSE_LAB_SLOW=1 or give -m slow"),
    "paper": ("COLLAPSE_LAB_PAPER", "at the size of a paper; set COLLAPSE_LAB_PAPER=1 or give -m paper"),
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Skip a test that downloads where its registry does not answer, if the environment asks for that."""
    report = yield
    lenient = os.environ.get("COLLAPSE_LAB_FETCH") == "where-reachable"
    if lenient and report.failed and call.excinfo and item.get_closest_marker("hub"):
        from collapse_lab.storage.fetch import Unreachable  # here, because CHECKED modules come after the hook

        if call.excinfo.errisinstance(Unreachable):
            report.outcome = "skipped"
            report.longrepr = (str(item.path), item.location[1] or 0, f"Skipped: {call.excinfo.value}")
    return report


def pytest_collection_finish() -> None:
    pages.draw_none()  # here, because the tests of pages have imported what draws them by now
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)  # because at Python's own thresholds an eighth of the suite's time goes into it
    gc.enable()


@pytest.fixture
def real_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runs of a test draw their pages."""
    from collapse_lab import report

    monkeypatch.setattr(report, "write_report", report.write_report.__wrapped__)  # type: ignore[attr-defined]


def pytest_unconfigure() -> None:
    gc.unfreeze()  # because triton complains at the end of a process of whatever was not collected


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = str(config.getoption("markexpr"))
    reasons = {
        marker: reason
        for marker, (variable, reason) in ASKED_FOR.items()
        if marker not in wanted.split() and os.environ.get(variable) not in ("1", "where-reachable")
    }
    if not torch.cuda.is_available():
        reasons["gpu"] = "torch sees no CUDA device"
    for item in items:
        for marker in item.iter_markers():
            if marker.name in reasons:
                item.add_marker(pytest.mark.skip(reason=reasons[marker.name]))
