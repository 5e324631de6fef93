"""Check that the catalogue describes every quantity that the metrics really return."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import collapse_lab.metrics
from collapse_lab.metrics import wrapped
from collapse_lab.metrics.accumulated import AccumulatedRows, Comparison, Variety
from collapse_lab.metrics.catalogue import (
    CATALOGUE,
    CLASS_SHARE,
    GROUP_COVERAGE,
    GROUP_KID,
    GROUP_RECALL,
    METRIC_QUANTITIES,
    PERPLEXITY_QUANTILE,
    PROBE_QUANTITIES,
    Quantity,
    describe,
    metric_of,
)
from collapse_lab.results.names import KEY, Name
from collapse_lab.types import Estimate, FeatureSet, Metric
from tests.metrics.cases import normal, rng

CONF = Path(__file__).parents[2] / "conf" / "metrics"


def configured() -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the class path and the arguments of every metric of conf/metrics."""
    nodes: dict[str, tuple[str, dict[str, Any]]] = {}
    for path in sorted(CONF.glob("*.yaml")):
        for name, node in yaml.safe_load(path.read_text()).items():
            nodes[name] = (node["_target_"], {key: value for key, value in node.items() if key != "_target_"})
    return nodes


def implemented() -> set[str]:
    """Return the class paths of all metrics in the package: its dataclasses that have a floor or none."""
    paths = set()
    for module in pkgutil.iter_modules(collapse_lab.metrics.__path__, "collapse_lab.metrics."):
        for name, value in vars(import_module(module.name)).items():
            if isinstance(value, type) and value.__module__ == module.name and is_dataclass(value):
                paths |= {f"{module.name}.{name}"} if hasattr(value, "floored") else set()
    return paths


def feature_set(seed: int) -> FeatureSet:
    """Return features with labels, predictions and captions, so that every metric has what it needs."""
    values = normal(80, 6, seed).float()
    return FeatureSet(values, torch.arange(80) % 4, torch.arange(80) % 5, values.flip(0) + 0.5)


def returned(name: str) -> Mapping[str, Estimate]:
    path, arguments = configured()[name]
    module, _, class_name = path.rpartition(".")
    metric: Metric = getattr(import_module(module), class_name)(**arguments)
    return metric(feature_set(1), feature_set(2), rng())


def test_conf_has_one_file_for_every_metric_of_the_package() -> None:
    assert {path for path, _ in configured().values()} == implemented()


@pytest.mark.parametrize("name", configured())
def test_every_quantity_that_a_metric_returns_has_an_entry_and_lies_in_its_range(name: str) -> None:
    estimates = returned(name)
    assert estimates
    for key, estimate in estimates.items():
        quantity = describe(key)
        assert quantity is not None, key
        low, high = quantity.range
        for value in (estimate.value, estimate.lo, estimate.hi):
            assert value is not None
            assert low is None or low <= value, key
            assert high is None or value <= high, key


@pytest.mark.parametrize("name", configured())
def test_every_quantity_that_a_metric_returns_is_known_to_be_given_by_it(name: str) -> None:
    assert {metric_of(key) for key in returned(name)} == {name}


def test_a_quantity_of_a_probe_is_given_by_no_metric() -> None:
    assert {metric_of(quantity.name) for quantity in PROBE_QUANTITIES} == {None}


@pytest.mark.parametrize("name", configured())
def test_the_catalogue_and_the_metric_agree_on_whether_it_compares_with_reference_rows(name: str) -> None:
    path, _ = configured()[name]
    module, _, class_name = path.rpartition(".")
    metric = getattr(import_module(module), class_name)
    compares = getattr(metric, "compares", True) and metric.against == "reference"
    quantities = [describe(key) for key in returned(name)]
    assert {quantity.compares for quantity in quantities if quantity is not None} == {compares}


def test_every_metric_entry_is_returned_by_some_metric() -> None:
    every = {key for name in configured() for key in returned(name)}
    entries = {quantity.name for quantity in METRIC_QUANTITIES}
    of_one_class_or_group = (CLASS_SHARE, GROUP_RECALL, GROUP_COVERAGE, GROUP_KID)
    assert entries == {key for key in every if key in CATALOGUE or not key.startswith(of_one_class_or_group)}


@pytest.mark.parametrize("name", ["agreement", "fid", "kid", "prdc", "vendi"])
def test_ledger_names_take_titles_and_directions_from_the_catalogue(name: str) -> None:
    for key in returned(name):
        quantity, entry = Name.of(f"seen/classifier/{key}"), CATALOGUE[key]
        assert (quantity.title, quantity.short) == (entry.title, entry.short)
        assert quantity.better == entry.better


def test_entries_are_complete_and_consistent() -> None:
    assert len(CATALOGUE) == len(METRIC_QUANTITIES) + len(PROBE_QUANTITIES)
    for name, quantity in CATALOGUE.items():
        assert quantity.name == name
        assert quantity.title
        low, high = quantity.range
        assert low is None or high is None or low < high
        assert not quantity.whole_axis or high is not None, name
    assert set(KEY) <= set(CATALOGUE)


def test_quantities_of_classes_and_quantiles_are_described_by_their_prefix() -> None:
    assert describe(f"{CLASS_SHARE}3") == Quantity(
        "class_share_3", "Share of class 3", "none", (0.0, 1.0), "", True, False
    )
    quantile = describe(f"{PERPLEXITY_QUANTILE}05")
    assert quantile is not None
    assert quantile.title == "5 % quantile of the perplexity of generated text under generation 0"
    assert describe("no_such_quantity") is None


WRAPPED = [
    value
    for value in vars(wrapped).values()
    if isinstance(value, type) and issubclass(value, AccumulatedRows) and value.__module__ == wrapped.__name__
]


@pytest.mark.parametrize("kind", WRAPPED, ids=lambda kind: kind.__name__)
def test_a_torchmetrics_class_has_the_direction_of_its_quantities(kind: type[AccumulatedRows]) -> None:
    assert kind not in (AccumulatedRows, Comparison, Variety)
    assert kind.quantities
    directions = {CATALOGUE[name].better if name in CATALOGUE else "none" for name in kind.quantities}
    assert (kind.higher_is_better is None) == (len(directions) > 1)
    if kind.higher_is_better is not None:
        assert directions == {"higher" if kind.higher_is_better else "lower"}


def test_directions_of_the_torchmetrics_classes_are_the_published_ones() -> None:
    directions = {kind.__name__: kind.higher_is_better for kind in WRAPPED}
    assert directions == {
        **dict.fromkeys(("FID", "FDInfinity", "KID", "CMMD"), False),
        **dict.fromkeys(("PRDC", "Vendi", "PairwiseDistance", "CLIPScore"), True),
        **dict.fromkeys(("Memorisation", "Classes"), None),
    }
    assert (wrapped.CLIPScore.plot_lower_bound, wrapped.CLIPScore.plot_upper_bound) == (0.0, 100.0)
    assert (wrapped.PRDC.plot_lower_bound, wrapped.PRDC.plot_upper_bound) == (None, None)


def test_the_catalogue_and_ledger_names_load_without_torch_and_numpy() -> None:
    code = (
        "import sys, collapse_lab.metrics.catalogue, collapse_lab.results.names\n"
        "assert not {'torch', 'numpy', 'scipy', 'torchmetrics'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("module", sorted(Path(collapse_lab.metrics.__path__[0]).glob("*.py")), ids=lambda p: p.stem)
def test_metrics_import_no_data_sets_models_features_or_hydra(module: Path) -> None:
    text = module.read_text()
    for forbidden in ("collapse_lab.datasets", "collapse_lab.models", "collapse_lab.features", "hydra", "omegaconf"):
        assert f"import {forbidden}" not in text
        assert f"from {forbidden}" not in text
