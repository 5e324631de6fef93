from pathlib import Path

import pytest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return an empty folder for the files of a data set, with room for a cache beside it."""
    folder = tmp_path / "official"
    folder.mkdir()
    return folder
