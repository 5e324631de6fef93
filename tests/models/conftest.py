"""Fixtures of several tests of families."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models.tiny_pipelines import KINDS, write_pipeline


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the folder of a tiny pipeline of each kind."""
    place = tmp_path_factory.mktemp("pipelines")
    return {kind: write_pipeline(place / kind, kind) for kind in KINDS}
