from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from collapse_lab.engine.lab import Lab
from collapse_lab.engine.ruler import flatten
from collapse_lab.errors import UserError
from collapse_lab.images import as_float
from collapse_lab.types import Conditions, Estimate, FeatureSet, PromptSet, Rows, Samples, Spec, Split
from tests.engine.cases import Centred, Flat, Recorder, component, lab_with, laid_out, measured, no_model
from tests.standins import DIGITS

REAL = DIGITS.load()
N = 40  # samples of each generation


def rows(features: FeatureSet) -> list[bytes]:
    return [row.numpy().tobytes() for row in features.values]


def rows_of(samples: Samples) -> list[bytes]:
    return [row.numpy().tobytes() for row in as_float(samples.data).flatten(1)]


@dataclass(frozen=True)
class FirstReferenceRows:
    """Stand for a prompt set with few reference rows: all training rows and the first `count` reference rows."""

    count: int

    def bind(self, spec: Spec) -> PromptSet:
        return self

    def member(self, samples: Samples[Rows]) -> np.ndarray:
        in_training_split = len(samples) == len(REAL.train)
        return np.arange(len(samples)) < (len(samples) if in_training_split else self.count)

    def conditions(self, n: int, train: Samples[Rows], spec: Spec) -> Conditions:
        return Conditions(train.labels[:n], train.captions.take(np.arange(n)))


def with_few_reference_rows(lab: Lab, count: int) -> Lab:
    sets: dict[str, PromptSet] = {**lab.prompts.sets, "few": FirstReferenceRows(count)}
    return replace(lab, prompts=replace(lab.prompts, sets=sets))


@pytest.mark.parametrize(
    ("against", "compared", "other"), [("reference", REAL.reference, REAL.train), ("train", REAL.train, REAL.reference)]
)
def test_the_floor_compares_real_rows_with_real_rows_at_the_same_n(
    tmp_path: Path, against: Split, compared: Samples, other: Samples
) -> None:
    metric = Recorder(against=against)
    ruler, steps = laid_out(lab_with(tmp_path, {"flat": Flat()}, {"metric": metric}))
    ruler.prepare()
    ((stand_ins, real),) = metric.calls
    assert rows(real) == rows_of(compared)
    assert len(stand_ins) == N
    # Rows of the digits may be equal, so compare how often each one stands in with how often it is there
    assert all(rows(stand_ins).count(row) <= rows_of(other).count(row) for row in rows(stand_ins))
    reading = ruler.measure(steps[1], no_model, steps[0])
    (_, (generated, real_again)) = metric.calls
    assert len(generated) == len(stand_ins)
    assert rows(real_again) == rows(real)
    assert reading.metrics["all/flat/mean_floor"] == float(stand_ins.values.double().mean())
    assert reading.metrics["all/flat/mean"] == float(generated.values.double().mean())


def test_the_floor_takes_all_rows_of_a_split_that_has_fewer_than_n(tmp_path: Path) -> None:
    metric = Recorder()
    n = len(REAL.train) + 100
    reading = measured(lab_with(tmp_path, {"flat": Flat()}, {"metric": metric}, n_samples=n))
    (stand_ins, _), (generated, _) = metric.calls
    assert sorted(rows(stand_ins)) == sorted(rows_of(REAL.train))
    assert len(generated) == n
    sizes = {"n": n, "n_reference": len(REAL.reference), "n_floor": len(REAL.train)}
    assert reading.features["flat"]["all"] == sizes


def test_the_floor_does_not_depend_on_the_seed_of_the_run(tmp_path: Path) -> None:
    lab = lab_with(tmp_path, {"flat": Flat()}, {"metric": Recorder()})
    keys = [[stage.key for stage in laid_out(replace(lab, seed=seed))[0].stages] for seed in (0, 1)]
    assert keys[0] == keys[1]
    measured(lab)
    again = Recorder()
    measured(lab_with(tmp_path, {"flat": Flat()}, {"metric": again}, seed=1))
    assert len(again.calls) == 1  # the generated samples alone: the floor is read from the store


def test_a_metric_without_a_floor_is_compared_with_real_rows_only_once(tmp_path: Path) -> None:
    metric = Recorder(floored=False)
    reading = measured(lab_with(tmp_path, {"flat": Flat()}, {"metric": metric}))
    assert reading.metrics.keys() == {"all/flat/mean"}
    assert len(metric.calls) == 1


@pytest.mark.parametrize("count", [0, 1])
def test_a_prompt_set_with_too_few_reference_rows_is_refused(tmp_path: Path, count: int) -> None:
    metric = Recorder()
    lab = with_few_reference_rows(lab_with(tmp_path, {"flat": Flat()}, {"metric": metric}), count)
    ruler, _ = laid_out(lab)
    with pytest.raises(UserError, match=rf"'few' has {count} reference rows, and a comparison takes 2 or more; give"):
        ruler.prepare()
    assert metric.calls == []


def test_two_reference_rows_are_enough(tmp_path: Path) -> None:
    metric = Recorder()
    reading = measured(with_few_reference_rows(lab_with(tmp_path, {"flat": Flat()}, {"metric": metric}), 2))
    assert {len(real) for _, real in metric.calls} == {2, len(REAL.reference)}
    assert reading.features["flat"]["few"] == {"n": N, "n_reference": 2, "n_floor": N}


def test_metrics_of_different_feature_spaces_are_kept_apart(tmp_path: Path) -> None:
    metric = Recorder()
    spaces = {"flat": Flat(), "narrow": Flat(scale=-3.0, width=10)}
    reading = measured(lab_with(tmp_path, spaces, {"metric": metric}))
    assert reading.metrics.keys() == {f"all/{space}/mean{end}" for space in spaces for end in ("", "_floor")}
    assert reading.metrics["all/flat/mean"] != reading.metrics["all/narrow/mean"]
    widths = [(generated.values.shape[1], real.values.shape[1]) for generated, real in metric.calls]
    assert sorted(widths) == [(10, 10), (10, 10), (64, 64), (64, 64)]
    assert (reading.features["flat"]["scale"], reading.features["narrow"]["scale"]) == (1.0, -3.0)


def test_a_metric_restricted_to_named_features_is_computed_there_only(tmp_path: Path) -> None:
    everywhere, restricted = Recorder({"a": Estimate(1.0)}), Recorder({"b": Estimate(2.0)}, features=["narrow"])
    spaces = {"flat": Flat(), "narrow": Flat(width=10)}
    reading = measured(lab_with(tmp_path, spaces, {"everywhere": everywhere, "restricted": restricted}))
    names = {"all/flat/a", "all/narrow/a", "all/narrow/b"}
    assert reading.metrics.keys() == names | {f"{name}_floor" for name in names}
    assert {real.values.shape[1] for _, real in restricted.calls} == {10}
    assert [list(reading.features[space]["metrics"]) for space in spaces] == [
        ["everywhere"],
        ["everywhere", "restricted"],
    ]


def test_the_ledger_names_the_value_its_interval_and_its_floor(tmp_path: Path) -> None:
    estimates = {"with_interval": Estimate(2.0, 1.5, 2.5), "without": Estimate(3.0)}
    reading = measured(lab_with(tmp_path, {"flat": Flat()}, {"metric": Recorder(estimates)}))
    assert reading.metrics == {
        "all/flat/with_interval": 2.0,
        "all/flat/with_interval_lo": 1.5,
        "all/flat/with_interval_hi": 2.5,
        "all/flat/with_interval_floor": 2.0,
        "all/flat/without": 3.0,
        "all/flat/without_floor": 3.0,
    }


def test_numbers_that_are_not_finite_are_left_out_of_the_ledger(tmp_path: Path) -> None:
    estimates = {"nan": Estimate(math.nan), "open": Estimate(2.0, -math.inf, 2.5), "infinite": Estimate(math.inf, 1.0)}
    reading = measured(lab_with(tmp_path, {"flat": Flat()}, {"metric": Recorder(estimates)}))
    names = {"open": 2.0, "open_hi": 2.5, "open_floor": 2.0, "infinite_lo": 1.0}
    assert reading.metrics == {f"all/flat/{name}": value for name, value in names.items()}
    assert json.loads(json.dumps(reading.metrics, allow_nan=False)) == reading.metrics


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        (Estimate(1.0, 0.5, 1.5), {"x": 1.0, "x_lo": 0.5, "x_hi": 1.5}),
        (Estimate(1.0, None, 1.5), {"x": 1.0, "x_hi": 1.5}),
        (Estimate(0.0, 0.0, 0.0), {"x": 0.0, "x_lo": 0.0, "x_hi": 0.0}),
        (Estimate(math.nan, math.inf, -math.inf), {}),
    ],
)
def test_flatten_gives_every_finite_number_its_ledger_name(estimate: Estimate, expected: Mapping[str, float]) -> None:
    assert flatten("x", estimate) == expected


def test_a_floor_that_is_not_finite_is_left_out_and_the_value_stays(tmp_path: Path) -> None:
    metric = Recorder({"x": Estimate(math.nan)})
    ruler, steps = laid_out(lab_with(tmp_path, {"flat": Flat()}, {"metric": metric}))
    ruler.prepare()
    metric.estimates = {"x": Estimate(4.0)}
    assert ruler.measure(steps[1], no_model, steps[0]).metrics == {"all/flat/x": 4.0}


def test_random_numbers_of_a_metric_depend_on_seed_generation_space_and_metric_alone(tmp_path: Path) -> None:
    def draws(folder: str, seed: int, generation: int) -> list[float]:
        metrics = {"one": Recorder(floored=False), "other": Recorder(floored=False)}
        spaces = {"flat": Flat(), "narrow": Flat(width=10)}
        measured(lab_with(tmp_path / folder, spaces, metrics, seed=seed), generation)
        return [draw for metric in metrics.values() for draw in metric.draws]

    assert draws("a", 0, 1) == draws("b", 0, 1)
    different = [*draws("a", 0, 1), *draws("a", 0, 2), *draws("a", 1, 1)]
    assert len(set(different)) == len(different) == 12


def test_real_rows_are_embedded_once_and_only_where_a_metric_reads_them(tmp_path: Path) -> None:
    flat = Flat()
    ruler, steps = laid_out(lab_with(tmp_path, {"flat": flat}, {"metric": Recorder()}))
    ruler.prepare()
    assert sorted(flat.rows) == [N, len(REAL.reference)]  # N rows of the training split stand in for generated ones
    for step in steps:
        ruler.measure(step, no_model, steps[0])
    assert sorted(flat.rows) == [*[N] * (1 + len(steps)), len(REAL.reference)]
    again = Flat()
    measured(lab_with(tmp_path, {"flat": again}, {"metric": Recorder()}))
    assert again.rows == []  # the store has the features of real and of generated rows


def test_features_of_a_trained_extractor_depend_on_its_training(tmp_path: Path) -> None:
    lab = lab_with(tmp_path, {}, {"metric": Recorder()})
    keys: list[set[str]] = []
    for training_steps in (10, 20):
        trained = replace(lab, extractors={"centred": component(Centred([]), steps=training_steps)})
        ruler, steps = laid_out(trained)
        stages = [*ruler.stages, *ruler.features_of(steps[1])]
        (training,) = (stage for stage in stages if stage.kind == "extractor")
        features = [stage for stage in stages if stage.kind == "features"]
        assert len(features) == 3  # of both splits, and of the generated samples
        assert all(training in stage.parents for stage in features)
        keys.append({stage.key for stage in stages})
    assert not keys[0] & keys[1]


@dataclass
class Informed(Recorder):
    """Return the mean of the real values that it is told, and count how often real rows alone are looked at."""

    looks: list[int] = field(default_factory=list)

    def of_real(self, real: FeatureSet) -> dict[str, Tensor]:
        self.looks.append(len(real))
        return {"mean": real.values.double().mean()}

    def __call__(
        self,
        generated: FeatureSet,
        real: FeatureSet,
        rng: np.random.Generator,
        known: Mapping[str, Tensor] | None = None,
    ) -> Mapping[str, Estimate]:
        super().__call__(generated, real, rng)
        assert known is not None
        return {"real": Estimate(float(known["mean"]))}


def test_what_is_known_of_the_real_rows_is_computed_once_for_floors_generations_and_runs(tmp_path: Path) -> None:
    metric = Informed()
    ruler, steps = laid_out(lab_with(tmp_path, {"flat": Flat()}, {"metric": metric}))
    ruler.prepare()
    readings = [ruler.measure(step, no_model, steps[0]).metrics for step in steps]
    mean = float(as_float(REAL.reference.data).flatten(1).double().mean())
    assert readings == [{"all/flat/real": pytest.approx(mean), "all/flat/real_floor": pytest.approx(mean)}] * len(steps)
    assert metric.looks == [len(REAL.reference)]
    again = Informed()
    measured(lab_with(tmp_path, {"flat": Flat()}, {"metric": again}, seed=1))
    assert again.looks == []  # it is read from the store


def test_what_is_known_depends_on_rows_space_and_metric(tmp_path: Path) -> None:
    def keys(lab: Lab) -> set[str]:
        return {stage.key for stage in laid_out(lab)[0].stages if stage.kind == "known"}

    def identified(version: int, **arguments: float) -> Lab:
        metric: Any = Informed()
        return replace(
            lab, metrics={"metric": (metric, {"class": "tests.metric", "version": version, "arguments": arguments})}
        )

    lab = lab_with(tmp_path, {"flat": Flat()}, {"metric": Informed()})
    first = keys(lab)
    assert keys(replace(lab, seed=3)) == keys(identified(1)) == first
    others = [
        lab_with(tmp_path, {"flat": Flat()}, {"metric": Informed(against="train")}),
        lab_with(tmp_path, {"narrow": Flat(width=10)}, {"metric": Informed()}),
        identified(2),
        identified(1, k=3),
        with_few_reference_rows(lab, 30),
    ]
    added = [first, *(keys(other) - first for other in others)]
    assert [len(found) for found in added] == [1] * len(added)
    assert len(set.union(*added)) == len(added)
