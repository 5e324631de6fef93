from __future__ import annotations

from pathlib import Path

import pytest

from collapse_lab import memory
from collapse_lab.engine.checks import check_sizes
from collapse_lab.errors import UserError
from tests.standins import Chain


def test_rows_that_lie_in_mapped_files_need_no_memory_for_their_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Chain(tmp_path, n=2000).lab()  # 64 bytes of pixels a row, and 16 of its label and caption
    monkeypatch.setattr(memory, "installed", lambda: 2000 * 50)
    with pytest.raises(UserError, match="n_samples=2000 rows of 1 x 8 x 8 would take 160 kB"):
        check_sizes(lab)
    check_sizes(lab, mapped=True)
    monkeypatch.setattr(memory, "installed", lambda: 2000 * 10)
    with pytest.raises(UserError, match="n_samples=2000 rows of 1 x 8 x 8 would take 32 kB"):
        check_sizes(lab, mapped=True)
