from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from collapse_lab.datasets.linear_domains import LinearDomains
from collapse_lab.datasets.regression import Regression
from collapse_lab.errors import UserError
from collapse_lab.prompts import Inputs
from collapse_lab.types import Samples, Spec

GRAM = [[2.0, 0.5], [0.5, 1.0]]


def domains(**changes: Any) -> LinearDomains:
    plain: dict[str, Any] = {"domains": ["a", "b", "public"], "dimension": 2, "rows": 8, "replicas": 3}
    return LinearDomains(**plain | changes)


def test_rows_of_a_domain_have_its_label_and_the_same_inputs_in_every_replica() -> None:
    data = domains(sizes={"b": 5})
    train, reference = data.load().train, data.load().reference
    assert data.spec.classes == ("a", "b", "public")
    assert np.bincount(train.labels).tolist() == [8, 5, 8]
    assert train.data.shape == (21, *data.spec.shape) == (21, 3, 3)
    assert len(reference) == 3 * data.reference
    for number, name in enumerate(data.domains):
        rows = train.data[torch.from_numpy(train.labels == number)]
        assert torch.equal(rows[..., :-1], torch.from_numpy(data.inputs[name])[:, None].expand(-1, 3, -1))
    assert torch.equal(domains(sizes={"b": 5}).load().train.data, train.data)


def test_labels_have_the_coefficients_of_the_domain_and_noise_of_every_replica() -> None:
    n = 5_000
    data = domains(replicas=n, noise=0.3, spread=2.0)
    train = data.load().train
    for number, name in enumerate(data.domains):
        rows = train.data[torch.from_numpy(train.labels == number)].numpy()
        rest = rows[..., -1] - (data.inputs[name] @ data.truths[name])[:, None]
        assert (np.abs(rest.mean(1)) < 4 * np.sqrt(0.3 / n)).all()
        assert (np.abs(rest.var(1) - 0.3) < 4 * 0.3 * np.sqrt(2 / n)).all()
        assert np.abs(np.corrcoef(rest) - np.eye(8)).max() < 4.5 / np.sqrt(n)
    assert not np.allclose(data.truths["a"], data.truths["b"])
    alike = domains(spread=0).truths
    assert np.array_equal(alike["a"], alike["public"])


def test_the_seed_of_a_run_changes_noise_and_not_inputs() -> None:
    one, other = domains(seed=0), domains(seed=1)
    assert np.array_equal(one.inputs["a"], other.inputs["a"])
    assert np.array_equal(one.truths["a"], other.truths["a"])
    assert not torch.equal(one.load().train.data, other.load().train.data)
    assert one.key != other.key
    assert not np.array_equal(one.inputs["a"], domains(design_seed=1).inputs["a"])


def test_designs_have_the_gram_matrix_and_the_rank_that_are_asked_for() -> None:
    data = domains(grams={"a": GRAM}, rank={"b": 1}, coefficients={"b": [1.0, -1.0]})
    grams = {name: x.T @ x / len(x) for name, x in data.inputs.items()}
    assert grams["a"] == pytest.approx(np.array(GRAM))
    assert [np.linalg.matrix_rank(gram) for gram in grams.values()] == [2, 1, 2]
    assert data.truths["b"].tolist() == [1, -1]
    equal = domains(design="equal").inputs
    assert all(x.T @ x / len(x) == pytest.approx(np.eye(2), abs=1e-12) for x in equal.values())
    assert not np.allclose(equal["a"], equal["b"])
    large = domains(rows=20_000, rank=1, dimension=3).inputs["a"]
    assert np.trace(large.T @ large) / len(large) == pytest.approx(3, rel=0.04)  # as loud as inputs of full rank


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"domains": ["a", "a"]}, r"names one domain or more, each once; got \['a', 'a'\]"),
        ({"domains": []}, "names one domain or more"),
        ({"grams": {"c": GRAM}}, r"dataset\.grams has numbers of shape \(2, 2\) for some of the domains"),
        ({"coefficients": {"a": [1.0]}}, r"dataset\.coefficients has numbers of shape \(2,\)"),
        ({"rank": 3}, r"dataset\.rank is in \[1, 2\]"),
        ({"sizes": {"a": 0}}, r"dataset\.sizes are 1 or more"),
        ({"reference": 1}, r"dataset\.reference is 2 or more"),
    ],
)
def test_arguments_that_do_not_agree_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        domains(**changes)


@pytest.mark.parametrize("gram", [[[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.5], [0.0, 1.0]]])
def test_a_matrix_that_is_no_gram_matrix_is_refused(gram: list[list[float]]) -> None:
    with pytest.raises(UserError, match="symmetric, positive semidefinite"):
        _ = domains(grams={"a": gram}).inputs
    with pytest.raises(UserError, match="of 2 rows or more; got 1 rows"):
        _ = domains(grams={"a": GRAM}, sizes={"a": 1}).inputs


def test_a_prompt_set_of_inputs_asks_for_labels_of_its_domain() -> None:
    data = domains()
    prompts = Inputs(["b"]).bind(data.spec)
    train = data.load().train
    assert prompts.member(train).tolist() == (train.labels == 1).tolist()
    conditions = prompts.conditions(11, train, data.spec)
    assert conditions.labels.tolist() == [1] * 11
    assert conditions.context is not None
    assert np.array_equal(conditions.context[:].numpy(), data.inputs["b"][np.arange(11) % 8])


def test_a_prompt_set_of_inputs_refuses_data_without_shared_inputs() -> None:
    plain = Regression(replicas=2, rows=9, reference=2).load().train
    labelled = Samples(plain.data, np.zeros(9, np.int64))
    with pytest.raises(UserError, match="every replica has inputs of its own here"):
        Inputs([0]).bind(domains().spec).conditions(2, labelled, domains().spec)
    with pytest.raises(UserError, match="no class is called 'c'"):
        Inputs(["c"]).bind(domains().spec)
    with pytest.raises(UserError, match="needs points of inputs and a label"):
        Inputs([0]).bind(Spec("image", (1, 8, 8)))
