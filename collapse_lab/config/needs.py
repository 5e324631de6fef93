"""What a composed configuration takes from elsewhere: every object, or its class, is asked by its method `prefetch`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig

from collapse_lab.config.binding import import_target
from collapse_lab.config.building import make, merged
from collapse_lab.config.identity import defaults_of
from collapse_lab.config.signature import resolved
from collapse_lab.types import Dataset, Need

BUILT_LATER = ("features", "metrics", "probes")


def needs_of(cfg: DictConfig) -> Iterator[tuple[str, Need]]:
    """Yield what each object of a configuration needs, behind its place, such as "features.inception"; each once.

    A data set is built and asked. Of families and feature spaces the class is asked, with the arguments of the
    configuration, because they cannot be built before data and weights are there.

    Args:
        cfg: a composed and checked configuration.

    Raises:
        UserError: a data set cannot be built, or an object refuses its arguments.
    """
    plain = resolved(cfg)
    asked: list[tuple[str, Callable[..., Sequence[Need]] | None, tuple[Any, ...]]] = []
    dataset = make(plain["dataset"], "dataset", Dataset)
    asked.append(("dataset", getattr(dataset, "prefetch", None), ()))
    members = make(plain["population"], "population").members
    nodes = {name: merged(plain["model"], changes) for name, changes in members.items()}
    nodes = {"model" if name == "model" else f"population.members.{name}": node for name, node in nodes.items()}
    nodes |= {f"{group}.{name}": node for group in BUILT_LATER for name, node in plain[group].items()}
    for where, node in nodes.items():
        target = import_target(str(node["_target_"]), where)
        asked.append((where, getattr(target, "prefetch", None), (_arguments(target, node),)))
    seen: set[str] = set()
    for where, ask, arguments in asked:
        for need in ask(*arguments) if ask is not None else ():
            if need.what not in seen:
                seen.add(need.what)
                yield where, need


def _arguments(target: Any, node: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a node, with the defaults of those that it does not name."""
    given = {str(key): value for key, value in node.items() if not str(key).startswith("_")}
    return {**defaults_of(target), **given}
