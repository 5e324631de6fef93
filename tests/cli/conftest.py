"""Let the tests of the command line use the nursery of the end-to-end tests."""

from tests.e2e.conftest import nursery

__all__ = ["nursery"]
