from tests.features.conftest import cache as cache
