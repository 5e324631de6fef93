"""What tests of pages share."""

from __future__ import annotations

import pytest

from collapse_lab.report.plot import Plot


@pytest.fixture
def no_pdf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offer a line instead of each PDF file, because to draw them is a third of the time that a page takes.

    The tests of PDF files, and those in a browser, have pages with the real ones.
    """
    monkeypatch.setattr(Plot, "pdf", b"%PDF-1.7 not drawn")
