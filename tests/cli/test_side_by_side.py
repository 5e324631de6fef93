"""Members of a population are computed side by side, with the results that one process would have."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from collapse_lab import compose, prepare
from collapse_lab.cli.side_by_side import compute, side_by_side
from collapse_lab.config.composing import Composed
from collapse_lab.errors import UserError
from collapse_lab.experiment import Experiment
from tests.e2e.command import ledger, only_run, timeless
from tests.nursery import Nursery

LINE = ["name=pair", "model=gaussian", "dataset=normal", "features=[]", "metrics=[]", "probes=[moments]", "sinks=[]"]
LINE += ["n_train=20", "n_samples=20", "generations=3", "ratio=0.5"]
PAIR = [
    "~population.members.model",
    "+population.members.a={}",
    "+population.members.b={}",
    "population.exposure=complete",
]
PAIR += ["processes=2"]


def pair(runs: Path, *more: str) -> Composed:
    return compose(*LINE, *PAIR, f"paths.runs={runs}", *more)


def plain(composed: Composed) -> dict[str, object]:
    return OmegaConf.to_container(composed.cfg, resolve=False)  # type: ignore[return-value]


def stored(experiment: Experiment) -> dict[str, list[bool]]:
    """Return for each member whether the store holds its stages, generation after generation."""
    steps = [step for generation in experiment.layout.plan for step in generation]
    members = {step.model: [s for s in steps if s.model == step.model] for step in steps}
    return {name: [all(stage.ready for stage in step.computed) for step in own] for name, own in members.items()}


def test_a_process_computes_its_members_and_what_they_rest_on(tmp_path: Path) -> None:
    composed = pair(tmp_path / "ahead")
    compute(plain(composed), list(composed.overrides), 1, 2)
    # b trains on what a draws, but for what a draws in the last generation
    assert stored(prepare(composed)) == {"a": [True, True, True, False], "b": [True] * 4}
    prepare(composed).run()
    prepare(pair(tmp_path / "alone")).run()
    assert timeless(only_run(tmp_path / "ahead", "pair")) == timeless(only_run(tmp_path / "alone", "pair"))


def test_two_processes_give_the_ledger_of_one(nursery: Nursery, tmp_path: Path) -> None:
    for processes in (1, 2):
        end = nursery.run([*LINE, *PAIR, f"processes={processes}", f"paths.runs={tmp_path / str(processes)}"])
        assert end.code == 0, end.err
    one, two = (only_run(tmp_path / str(processes), "pair") for processes in (1, 2))
    assert timeless(one) == timeless(two)
    assert one.name == two.name  # the signature
    assert len(ledger(two)) == 8


def test_a_run_of_one_member_and_a_store_that_drops_generations_are_refused(tmp_path: Path) -> None:
    single, thrifty = [*LINE, "processes=2"], [*LINE, *PAIR, "store=metrics", "store.every=2"]
    for line, message in [
        (single, "this run has one; leave it out"),
        (thrifty, "store.every=2 does not keep each generation; give store=all"),
    ]:
        composed = compose(*line, f"paths.runs={tmp_path}")
        with pytest.raises(UserError, match=message), side_by_side(composed, prepare(composed)):
            raise AssertionError
