from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where tests that download keep data and weights: paths.data's variable, or a folder of this session."""
    return os.environ.get("COLLAPSE_LAB_DATA") or str(tmp_path_factory.mktemp("cache"))
