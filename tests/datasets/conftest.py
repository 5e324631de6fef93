from pathlib import Path

import pytest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty folder for a set's files, with room for a cache beside it."""
    folder = tmp_path / "given"
    folder.mkdir()
    return folder
