"""A lab is built once when an experiment is prepared, so that what is wrong is known before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from omegaconf import DictConfig, OmegaConf, open_dict

from collapse_lab.config.building import build_sinks, make, pick_device
from collapse_lab.config.composing import Composed, compose
from collapse_lab.errors import UserError
from collapse_lab.experiment import Experiment, prepare
from collapse_lab.metrics.fid import FID
from collapse_lab.types import Metric, Spec

ME = __name__
GAUSSIAN = ["+experiment=recursive_gaussian", "model.replicas=2", "n_train=8", "n_samples=8", "device=cpu", "sinks=[]"]
DIGITS = ["+experiment=nepotistic", "+scale=tiny", "features=[pixels]", "metrics=[fid]", "device=cpu", "sinks=[]"]


class Counted:
    """A family that counts how often it is built."""

    version: ClassVar[int] = 1
    sampling_only: ClassVar[frozenset[str]] = frozenset({"spread"})
    built: ClassVar[list[float]] = []

    def __init__(self, spec: Spec, width: int = 2, spread: float = 1.0) -> None:
        if width % 2:
            raise UserError(f"model.width is even; got {width}")
        self.spec = spec
        Counted.built.append(spread)

    def fit(self, data: Any, budget: Any, seeds: Any, progress: Any) -> None: ...
    def sample(self, conditions: Any, seeds: Any, progress: Any) -> Any: ...
    def sampling_steps(self, n: int) -> int:
        return n

    def weights(self) -> dict[str, Any]:
        return {}

    def load(self, weights: Any) -> None: ...
    def to(self, device: str, /) -> object:
        return self


class Nothing:
    """A plug-in that has no member of any protocol."""

    def __init__(self, spec: Spec | None = None) -> None: ...


class Half:
    """A feature extractor that is fitted, and has no features."""

    def __init__(self, spec: Spec) -> None: ...

    def fit(self, data: Any, seeds: Any, device: str, progress: Any) -> None: ...


def experiment(folder: Path, *overrides: str, **nodes: Any) -> Experiment:
    """Prepare a composed configuration of which some nodes are replaced."""
    composed = compose(*overrides, f"paths.runs={folder}")
    with open_dict(composed.cfg):
        for name, node in nodes.items():
            OmegaConf.update(composed.cfg, name, node, merge=False)
    return prepare(composed)


def node(name: str, **arguments: Any) -> DictConfig:
    return OmegaConf.create({"_target_": f"{ME}.{name}", **arguments})


@pytest.mark.parametrize("lineage", ["scratch", "previous"])
def test_the_model_is_built_once_when_an_experiment_is_prepared(tmp_path: Path, lineage: str) -> None:
    Counted.built.clear()
    prepared = experiment(tmp_path, *GAUSSIAN, "probes=[]", f"population.lineage={lineage}", model=node("Counted"))
    assert Counted.built == [1.0]
    assert len(prepared.plan.steps) == prepared.layout.lab.generations + 1
    assert Counted.built == [1.0]  # because a plan builds no model


def test_a_scheduled_argument_is_built_with_its_first_value(tmp_path: Path) -> None:
    Counted.built.clear()
    schedule = node("Counted", spread={"by_generation": [3.0, 2.0]})
    lab = experiment(tmp_path, *GAUSSIAN, "probes=[]", model=schedule).layout.lab
    assert Counted.built == [3.0]
    for generation in (1, 7):
        lab.models[0].build(lab.dataset.spec, generation)
    assert Counted.built == [3.0, 2.0, 2.0]


def test_a_size_that_only_the_constructor_knows_to_be_wrong_is_refused_by_the_place_of_the_model(
    tmp_path: Path,
) -> None:
    with pytest.raises(UserError, match=r"^model: model\.width is even; got 3$"):
        experiment(tmp_path, *GAUSSIAN, "probes=[]", model=node("Counted", width=3))
    members = OmegaConf.create({"a": {}, "b": {"width": 5}})
    with pytest.raises(UserError, match=r"^population\.members\.b: model\.width is even; got 5$"):
        experiment(tmp_path, *GAUSSIAN, "probes=[]", **{"model": node("Counted"), "population.members": members})


def test_a_metric_of_a_feature_space_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^metrics\.fid\.features names 'pixel'; did you mean 'pixels'\?$"):
        experiment(tmp_path, *DIGITS, "metrics.fid.features=[pixel]")


def test_the_lineage_pretrained_needs_a_pretrained_model(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"^population\.lineage=pretrained .* model\.pretrained, and that is not given$"
    ):
        experiment(tmp_path, *DIGITS, "population.lineage=pretrained")


def test_feature_spaces_need_one_number_of_samples(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"n_samples follows a schedule; give one number, such as n_samples=32"):
        experiment(tmp_path, *DIGITS, "n_samples={by_generation:[16,32,32]}")


def test_a_prompt_set_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^prompts\.retrain names no prompt set: 'sen'; did you mean 'seen'\?$"):
        experiment(tmp_path, *DIGITS, "prompts.retrain=sen")
    with pytest.raises(UserError, match=r"^prompts\.base names no prompt set: 'sen'"):
        experiment(tmp_path, *DIGITS, "prompts.base=sen")


@pytest.mark.parametrize(
    ("place", "protocol", "members"),
    [
        ("dataset", "Dataset", "load, key, spec"),
        ("model", "GenerativeModel", "fit, sample, sampling_steps, weights, load, to, version, sampling_only"),
        ("mixing", "MixingPolicy", "draw, horizon"),
        ("curation", "Curation", "plan, apply, version, changes_samples, needs_classifier"),
        ("prompts.sets.seen", "PromptSet", "bind, member, conditions"),
        ("features.pixels", "Extractor", "extract, fingerprint, version"),
        ("metrics.fid", "Metric", "__call__, version, floored, against, features"),
        ("probes.mine", "Probe", "__call__, version"),
    ],
)
def test_a_plug_in_that_lacks_members_is_refused_and_all_of_them_are_named(
    tmp_path: Path, place: str, protocol: str, members: str
) -> None:
    with pytest.raises(UserError) as refusal:
        experiment(tmp_path, *DIGITS, **{place: node("Nothing")})
    message = str(refusal.value)
    start, _, rest = message.partition(": it has no ")
    assert start == f"{place}: Nothing does not satisfy the protocol {protocol} of collapse_lab.types"
    assert rest == f"{members}; add what is missing to the class"
    assert len(message.splitlines()) == 1


def test_a_fitted_extractor_and_a_sink_that_lack_members_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"^features\.pixels: Half does not satisfy the protocol FittedExtractor .*no extr"
    ):
        experiment(tmp_path, *DIGITS, **{"features.pixels": node("Half")})
    with pytest.raises(UserError, match=r"^sinks\.mine: Nothing does not satisfy the protocol Sink .* open, .*close"):
        build_sinks({"sinks": {"mine": {"_target_": f"{ME}.Nothing"}}})


def test_a_node_that_is_constructed_is_checked_first() -> None:
    place = f"{FID.__module__}.FID"
    assert make({"_target_": place, "bootstrap": 3}, "metrics.fid", Metric).bootstrap == 3
    with pytest.raises(UserError, match=r"^metrics\.fid\.bootstrapp: FID has no such argument"):
        make({"_target_": place, "bootstrapp": 3}, "metrics.fid", Metric)


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert [pick_device(wanted) for wanted in ("auto", "cpu")] == ["cpu", "cpu"]
    with pytest.raises(UserError, match="torch sees no GPU; give device=cpu or device=auto"):
        pick_device("cuda")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert [pick_device(wanted) for wanted in ("auto", "cpu", "cuda")] == ["cuda", "cpu", "cuda"]


def test_the_plan_of_a_prepared_experiment_counts_rows_and_stages(tmp_path: Path) -> None:
    composed = compose(*DIGITS, "ratio=0.25", f"paths.runs={tmp_path}")
    assert isinstance(composed, Composed)
    plan = prepare(composed).plan
    assert [(step.generation, step.model) for step in plan.steps] == [(0, "model"), (1, "model"), (2, "model")]
    assert [step.counts["synthetic"] for step in plan.steps] == [0, 50, 50]
    assert not any(step.fit_ready or step.samples_ready for step in plan.steps)
    assert plan.stages_ready == 0 < plan.stages_to_do
    assert not any(tmp_path.iterdir())
