from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from collapse_lab.engine.extractors import SCORER, Extractors, trained_here
from collapse_lab.engine.silent import Silent
from collapse_lab.errors import UserError
from collapse_lab.types import Samples
from tests.engine.cases import Centred, Classifier, Flat, component, lab_with
from tests.standins import DIGITS


def test_a_trained_extractor_is_fitted_once_as_a_stage_of_the_store(tmp_path: Path) -> None:
    calls: list[str] = []
    lab = lab_with(tmp_path, {"centred": Centred(calls)})
    extractors = Extractors(lab, Silent())
    stage = extractors.stages["centred"]
    assert (calls, stage.ready) == ([], False)
    extractor = extractors.get("centred")
    assert extractors.get("centred") is extractor
    assert calls == ["fit", "load"]
    assert lab.store.has("extractor", stage.key)
    stored = lab.store.read("extractor", stage.key)
    assert stored is not None
    assert stored.tensors.keys() == {"mean"}


def test_a_later_process_loads_the_extractor_from_the_store(tmp_path: Path) -> None:
    first, second = list[str](), list[str]()
    reference = DIGITS.load().reference
    features = Extractors(lab_with(tmp_path, {"centred": Centred(first)}), Silent()).get("centred").extract(reference)
    extractors = Extractors(lab_with(tmp_path, {"centred": Centred(second)}), Silent())
    assert extractors.stages["centred"].ready
    loaded = extractors.get("centred").extract(reference)
    assert (first, second) == (["fit", "load"], ["load"])
    assert torch.equal(loaded.values, features.values)


def test_runs_of_any_seed_share_a_trained_extractor(tmp_path: Path) -> None:
    lab = lab_with(tmp_path, {"centred": Centred([])})
    keys = {Extractors(replace(lab, seed=seed), Silent()).stages["centred"].key for seed in (0, 1)}
    assert len(keys) == 1


def test_another_argument_of_a_trained_extractor_gives_another_stage(tmp_path: Path) -> None:
    lab = lab_with(tmp_path, {})
    variants = [{"centred": component(Centred([]), steps=steps)} for steps in (10, 20)]
    keys = {Extractors(replace(lab, extractors=variant), Silent()).stages["centred"].key for variant in variants}
    assert len(keys) == 2


def test_an_extractor_that_is_not_trained_here_has_no_stage(tmp_path: Path) -> None:
    flat = Flat()
    lab = lab_with(tmp_path, {"flat": flat, "centred": Centred([])})
    extractors = Extractors(lab, Silent())
    assert extractors.names == ["flat", "centred"]
    assert list(extractors.stages) == ["centred"]
    assert extractors.parents("flat") == []
    assert extractors.parents("centred") == [extractors.stages["centred"]]
    assert extractors.get("flat") is flat
    assert not list((tmp_path / "store").glob("extractor/*"))


def test_whether_an_extractor_is_trained_here_is_known_without_its_weights() -> None:
    # The fingerprint of `Centred` fails before the fit, so it must not be read
    assert trained_here(Centred([]))
    assert not trained_here(Flat())


def test_the_scorer_is_the_first_classifier_trained_from_a_seed_that_no_feature_space_has(tmp_path: Path) -> None:
    lenet, other = Classifier([], seed=3), Classifier([], seed=5)
    built = {"flat": Flat(), "centred": Centred([]), "lenet": lenet, "classifier": other}
    lab = lab_with(tmp_path, built)
    extractors = Extractors(lab, Silent())
    name = extractors.scorer()
    assert extractors.scorer() == name == SCORER
    assert extractors.names == list(built)
    scorer = extractors.get(name)
    assert isinstance(scorer, Classifier)
    assert scorer.seed == 6
    assert scorer not in built.values()
    (stage,) = extractors.parents(name)
    assert lab.store.has("extractor", stage.key)
    same = component(lenet, "lenet", seed=6)
    assert Extractors(replace(lab, extractors={"lenet": same}), Silent()).stages["lenet"].key == stage.key
    assert stage.key not in {extractors.stages[space].key for space in ("lenet", "classifier")}


def test_a_classifier_that_is_not_trained_here_from_a_seed_scores_nothing(tmp_path: Path) -> None:
    class Seedless(Centred):
        def log_probabilities(self, samples: Samples) -> Tensor:
            raise AssertionError("nothing is scored")

    with pytest.raises(UserError, match=r"features=\[seedless\] has none that is trained here; add one"):
        Extractors(lab_with(tmp_path, {"seedless": Seedless([])}), Silent()).scorer()


@pytest.mark.parametrize(("names", "listed"), [(["flat", "centred"], "flat, centred"), ([], "")])
def test_a_run_without_a_classifier_has_no_scorer(tmp_path: Path, names: list[str], listed: str) -> None:
    built = {"flat": Flat(), "centred": Centred([])}
    lab = lab_with(tmp_path, {name: built[name] for name in names})
    with pytest.raises(UserError, match=rf"another seed, and features=\[{listed}\] has none that is trained"):
        Extractors(lab, Silent()).scorer()
