"""The type checker that jaxtyping's import hook puts into the modules named in conftest.py."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

# As for mypy, an int is a float
numeric = beartype(conf=BeartypeConf(is_pep484_tower=True))
