from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return where tests that download keep files: the folder of paths.data's variable, or one of this session."""
    return os.environ.get("COLLAPSE_LAB_DATA") or str(tmp_path_factory.mktemp("cache"))
