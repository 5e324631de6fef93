"""After an upgrade that adds arguments with defaults, every run, stage and folder is found again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from omegaconf import OmegaConf, open_dict

from collapse_lab.config import schema
from collapse_lab.config import signature as signatures
from collapse_lab.config.composing import Composed, compose
from collapse_lab.experiment import Experiment, prepare
from collapse_lab.metrics import fid
from collapse_lab.types import Spec, Whole
from tests import standins

ME = sys.modules[__name__]
CHAIN = ["+experiment=nepotistic", "generations=1", "n_train=24", "n_samples=8", "features=[pixels]", "metrics=[fid]"]
QUIET = ["device=cpu", "sinks=[]", "trainer.steps=1", "ratio=0.25"]


class Family(standins.Gaussian):
    """The family of today."""

    def __init__(self, spec: Spec, *, mark: int = 7, spread: float = 0.9) -> None:
        super().__init__(spec, mark=mark, spread=spread)


class UpgradedFamily(standins.Gaussian):
    """The same family later: with an argument that acts in the fit, and one that acts on sampling alone."""

    sampling_only: ClassVar[frozenset[str]] = frozenset({"spread", "heat"})

    def __init__(
        self, spec: Spec, *, mark: int = 7, spread: float = 0.9, sharpness: float = 1.0, heat: float = 0.0
    ) -> None:
        super().__init__(spec, mark=mark, spread=spread)


@dataclass
class Distance(fid.FID):
    """The metric of today."""

    bootstrap: int = 5


@dataclass
class UpgradedDistance(fid.FID):
    """The same metric later."""

    bootstrap: int = 5
    power: float = 2.0


@dataclass(frozen=True)
class UpgradedRoot(schema.Root):
    """The root later."""

    patience: Whole = 3


NEW: dict[str, Any] = {"model.sharpness": 1.0, "model.heat": 0.0, "metrics.fid.power": 2.0, "patience": 3}


def disguised(new: type, old: type) -> type:
    """Return the class under the module and the name of the one whose place it takes."""
    new.__module__, new.__qualname__, new.__name__ = old.__module__, old.__qualname__, old.__name__
    return new


@pytest.fixture
def composed(tmp_path: Path) -> Composed:
    """Return a configuration of the family and of the metric, as the version of today has them."""
    composed = compose(*CHAIN, *QUIET, f"paths.runs={tmp_path}")
    nodes = {"model": {"_target_": f"{__name__}.Family"}, "metrics.fid": {"_target_": f"{__name__}.Distance"}}
    with open_dict(composed.cfg):
        for where, node in nodes.items():
            OmegaConf.update(composed.cfg, where, node, merge=False)
    return composed


@pytest.fixture
def upgrade(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function that puts the later classes in the place of those of today."""

    def upgraded() -> None:
        monkeypatch.setattr(ME, "Family", disguised(UpgradedFamily, Family))
        monkeypatch.setattr(ME, "Distance", disguised(UpgradedDistance, Distance))
        for module in (schema, signatures):
            monkeypatch.setattr(module, "Root", disguised(UpgradedRoot, schema.Root))

    return upgraded


def later(composed: Composed, **changes: Any) -> Experiment:
    """Prepare a configuration whose yaml files name the new arguments too; `changes` writes . as __."""
    cfg = composed.cfg.copy()
    with open_dict(cfg):
        for where, value in (NEW | {name.replace("__", "."): value for name, value in changes.items()}).items():
            OmegaConf.update(cfg, where, value)
    return prepare(Composed(cfg, composed.overrides))


def keys(experiment: Experiment, kind: str) -> list[str]:
    return [stage.key for stage in experiment.layout.stages if stage.kind == kind]


KINDS = ("fit", "sample", "features", "known", "floor")


def test_a_run_its_stages_and_its_folder_are_found_again(composed: Composed, upgrade: Callable[[], None]) -> None:
    before = prepare(composed)
    stages = [(stage.kind, stage.key) for stage in before.layout.stages]
    assert {kind for kind, _ in stages} == set(KINDS)
    result = before.run()
    assert result.computed
    upgrade()
    after = later(composed)
    assert after.layout.lab.metrics["fid"][0].power == 2.0  # type: ignore[attr-defined]
    assert after.info.signature == before.info.signature
    assert [(stage.kind, stage.key) for stage in after.layout.stages] == stages
    assert after.plan.stages_to_do == 0
    again = after.run()
    assert (again.folder, again.computed, again.records) == (result.folder, False, result.records)


def test_a_run_that_was_stopped_goes_on_after_an_upgrade(composed: Composed, upgrade: Callable[[], None]) -> None:
    first = prepare(composed).run()
    ledger = first.folder / "ledger.jsonl"
    ledger.write_text(ledger.read_text().splitlines(keepends=True)[0])
    upgrade()
    result = later(composed).run()
    assert (result.folder, result.computed) == (first.folder, True)
    # Every stage is read from the store, so that even the seconds of its fits are those of the first time
    assert [record.keys for record in result.records] == [record.keys for record in first.records]
    assert [record.seconds["fit"] for record in result.records] == [record.seconds["fit"] for record in first.records]


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({"model__sharpness": 2.0}, {"fit", "sample", "features"}),
        ({"model__heat": 1.0}, {"fit", "sample", "features"}),
        ({"metrics__fid__power": 1.0}, {"known", "floor"}),
        ({"patience": 4}, set()),
    ],
    ids=["of the fit", "of sampling", "of the metric", "of the root"],
)
def test_another_value_of_a_new_argument_is_another_run(
    composed: Composed, upgrade: Callable[[], None], changes: dict[str, Any], changed: set[str]
) -> None:
    before = prepare(composed)
    upgrade()
    other = later(composed, **changes)
    assert other.info.signature != before.info.signature
    assert other.info.folder != before.info.folder
    assert {kind for kind in KINDS if keys(other, kind) != keys(before, kind)} == changed


def test_what_acts_on_sampling_alone_leaves_the_fit_of_generation_0(
    composed: Composed, upgrade: Callable[[], None]
) -> None:
    before = prepare(composed)
    upgrade()
    (first, *_), (other, *_) = keys(before, "fit"), keys(later(composed, model__heat=1.0), "fit")
    assert first == other
    assert first != keys(later(composed, model__sharpness=2.0), "fit")[0]
