"""The relative efficiency of interacting linear models at any α and β, by the theory of a run's own designs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any

import numpy as np

from collapse_lab.curation.none import Nothing
from collapse_lab.datasets.domain_designs import DomainDesigns
from collapse_lab.engine.population import Population
from collapse_lab.errors import UserError
from collapse_lab.mixing.interacting import Interacting
from collapse_lab.mixing.shares import shares
from collapse_lab.probes.linear_updates import LinearUpdates
from collapse_lab.probes.process import Process
from collapse_lab.results.built import built
from collapse_lab.theory.interacting_efficiency import efficiency_map

# Because a cell takes the time of products of K d x K d matrices, a map of many dimensions has fewer cells
GRIDS = ((48, 21), (120, 11))  # up to this K d: so many values of α and of β; a map takes about half a second
READ = ("mixing", "population", "curation", "dataset", "model", "prompts", "generations", "n_train", "n_samples")
DATASET = "collapse_lab.datasets.linear_domains.LinearDomains"
MODEL = "collapse_lab.models.linear_regression.LinearRegression"


def theory_map(config: Mapping[str, Any]) -> np.ndarray | None:
    """Return the efficiency of the population in the last generation over an even grid of α (rows) and β (columns).

    The map is computed once for all runs of a process that differ in α, in β and in the seed of their noise alone.

    Args:
        config: The configuration of a run.

    Returns:
        (n, n) from 0 to 1 in both; None where there is no exact theory of the run, or where a map would take seconds.
    """
    if (config.get("dataset") or {}).get("_target_") != DATASET or (config.get("model") or {}).get("_target_") != MODEL:
        return None
    read = {name: config.get(name) for name in READ}
    read["mixing"] = {**(read["mixing"] or {}), "alpha": 1.0, "beta": 0.5}
    read["dataset"] = {**config["dataset"], "seed": 0, "replicas": 1}
    return _map(json.dumps(read, sort_keys=True, default=str))


@lru_cache(maxsize=16)
def _map(config: str) -> np.ndarray | None:
    """Return the map of a configuration of α = 1 as JSON."""
    read = json.loads(config)
    model, changes = read["model"], (read["population"] or {}).get("members") or {}
    unlike = any({"noise", "inputs"} & set(change or {}) for change in changes.values())
    if model.get("inputs") != "given" or unlike:
        return None
    try:
        updates, truths = _updates(read)
    except (KeyError, TypeError, UserError):  # of another class, or of a version with other arguments
        return None
    population, generations = updates.process.population, updates.process.generations
    if updates.designs is None or updates.mixing.shares or len(population.exposures) > 1 or generations < 1:
        return None
    size = updates.designs.models * updates.designs.dimension
    n = next((cells for most, cells in GRIDS if size <= most), None)
    if n is None:
        return None
    exposure = shares(updates.mixing, population, 1)[:, 2:].tolist()
    grid, noise = np.linspace(0, 1, n), float(read["dataset"]["noise"])
    draw, regenerated = updates.mixing.drawn, float(model["noise"])
    return efficiency_map(updates.designs, grid, grid, truths, noise, generations, draw, exposure, regenerated)


def _updates(read: Mapping[str, Any]) -> tuple[LinearUpdates, np.ndarray]:
    """Return the updates of a run, and the truths of its private sources and of the public one, (K + 1, d).

    Raises:
        KeyError, TypeError, UserError: The configuration is none of ours.
    """
    dataset = read["dataset"]
    designs = DomainDesigns(**{field.name: dataset[field.name] for field in fields(DomainDesigns)})
    domains = {name: _domain(node, designs) for name, node in read["prompts"]["sets"].items()}
    mixing, population = built(Interacting, read["mixing"]), built(Population, read["population"])
    curation = built(Nothing, read["curation"])
    process = Process(mixing, population, curation, read["n_train"], read["n_samples"], read["generations"])
    inputs = {name: designs.inputs[domain] for name, domain in domains.items()}
    sets = [*(population.private.get(name, population.public) for name in population.names), population.public]
    truths = np.stack([designs.truths[domains[str(name)]] for name in sets])
    return LinearUpdates(process, mixing, inputs), truths


def _domain(node: Mapping[str, Any], designs: DomainDesigns) -> str:
    """Return the domain of a prompt set.

    Raises:
        TypeError: The prompt set is not one domain.
    """
    labels = node["labels"]
    if len(labels) != 1:
        raise TypeError(f"{labels} are several domains")
    return labels[0] if isinstance(labels[0], str) else list(designs.domains)[labels[0]]
