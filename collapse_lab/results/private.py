"""Which number says how well a model knows a domain, and where ledgers have it for private domains."""

from __future__ import annotations

from collections.abc import Mapping

from collapse_lab.metrics.catalogue import KNOWING
from collapse_lab.results.collect import Collection
from collapse_lab.results.names import Name
from collapse_lab.results.run import Run

Place = tuple[str, str]  # a model, and the name of its number


def knowing(collection: Collection) -> Name | None:
    """Return the number that says how well a model knows a domain, None where the runs measured none."""
    return next((name for metric in KNOWING for name in collection.names if name.metric == metric), None)


def on_own(run: Run, name: Name) -> list[Place]:
    """Return where a run has a number of each model on its own private domain; empty where no model has one.

    Args:
        run: The run.
        name: The number on any domain.
    """
    return [(model, _on(name, domain)) for model, domain in _private(run).items()]


def on_others(run: Run, name: Name, model: str | None = None) -> list[Place]:
    """Return where a run has a number of each model on the private domains of the others.

    Args:
        run: The run.
        name: The number on any domain.
        model: The model whose numbers are asked for; None takes all models.
    """
    private = _private(run)
    return [
        (one, _on(name, domain))
        for one in private
        if model in (None, one)
        for other, domain in private.items()
        if other != one
    ]


def domains(run: Run) -> set[str]:
    """Return the names of a run's private domains."""
    return set(_private(run).values())


def _private(run: Run) -> Mapping[str, str]:
    population = run.config.get("population") or {}
    return population.get("private") or {}


def _on(name: Name, domain: str) -> str:
    return f"{domain}/{name.features}/{name.metric}" if name.features else f"{domain}/{name.metric}"
