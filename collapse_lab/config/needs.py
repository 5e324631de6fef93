"""What a composed configuration takes from elsewhere: every object, or its class, is asked by its method `prefetch`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from omegaconf import DictConfig

from collapse_lab.config.binding import import_target
from collapse_lab.config.building import make, merged
from collapse_lab.config.identity import defaults_of
from collapse_lab.config.signature import resolved
from collapse_lab.errors import UserError
from collapse_lab.types import Dataset, Need

BUILT_LATER = ("features", "metrics", "probes")


def needs_of(cfg: DictConfig) -> Iterator[tuple[str, Need | UserError]]:
    """Yield what each object of a configuration needs, behind its place, such as "features.inception"; each once.

    A data set is built and asked. Of families and feature spaces the class is asked, with the arguments of the
    configuration, because they cannot be built before data and weights are there. An object that refuses its arguments,
    such as a path that is wrong, gives its refusal, so that the needs of the others are known all the same.

    Args:
        cfg: a composed and checked configuration.

    Raises:
        UserError: the population cannot be built.
    """
    plain = resolved(cfg)
    members = make(plain["population"], "population").members
    nodes = {name: merged(plain["model"], changes) for name, changes in members.items()}
    nodes = {"model" if name == "model" else f"population.members.{name}": node for name, node in nodes.items()}
    nodes |= {f"{group}.{name}": node for group in BUILT_LATER for name, node in plain[group].items()}
    asked = [("dataset", partial(_of_dataset, plain["dataset"]))]
    asked += [(where, partial(_of_class, node, where)) for where, node in nodes.items()]
    seen: set[str] = set()
    for where, ask in asked:
        try:
            needs = ask()
        except UserError as refusal:
            yield where, refusal
            continue
        for need in needs:
            if need.what not in seen:
                seen.add(need.what)
                yield where, need


def _of_dataset(node: Mapping[str, Any]) -> Sequence[Need]:
    dataset = make(node, "dataset", Dataset)
    return dataset.prefetch() if hasattr(dataset, "prefetch") else ()


def _of_class(node: Mapping[str, Any], where: str) -> Sequence[Need]:
    target = import_target(str(node["_target_"]), where)
    return target.prefetch(_arguments(target, node)) if hasattr(target, "prefetch") else ()


def _arguments(target: Any, node: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a node, with the defaults of those that it does not name."""
    given = {str(key): value for key, value in node.items() if not str(key).startswith("_")}
    return {**defaults_of(target), **given}
