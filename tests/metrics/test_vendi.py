from __future__ import annotations

import math

import pytest
import torch
from vendi_score import vendi as package  # type: ignore[import-untyped]

from collapse_lab.errors import UserError
from collapse_lab.metrics.vendi import Vendi, _second, _slopes, _spectrum, vendi_score
from tests.metrics.cases import features, modes, normal, rng, rotation

SETS = {
    "wide": normal(60, 100, 1),
    "tall": normal(300, 16, 1),
    "square": normal(40, 40, 1),
    "collapsed": modes(200, 24, 1, range(2), 0.1),
    "copies": normal(30, 20, 1).repeat(4, 1),
}


@pytest.mark.parametrize("name", SETS)
def test_the_vendi_score_agrees_with_the_package(name: str) -> None:
    x = SETS[name]
    assert vendi_score(x) == pytest.approx(float(package.score_dual(x.numpy())), rel=1e-9)
    unit = (x / x.norm(dim=1, keepdim=True)).numpy()
    assert vendi_score(x) == pytest.approx(float(package.score_K(unit @ unit.T)), rel=1e-9)
    assert vendi_score(x.float()) == pytest.approx(vendi_score(x), rel=1e-5)


@pytest.mark.parametrize("q", [0.5, 0.9, 2, 5, math.inf])
@pytest.mark.parametrize("name", ["tall", "collapsed"])
def test_every_order_agrees_with_the_package(name: str, q: float) -> None:
    expected = package.score_dual(SETS[name].numpy(), q="inf" if math.isinf(q) else q)
    assert vendi_score(SETS[name], q) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("q", [0.5, 1.0, 2.0, math.inf])
def test_kinds_at_right_angles_have_a_closed_form(q: float) -> None:
    turn = rotation(12, 3)
    assert vendi_score(torch.eye(12, dtype=torch.float64) @ turn, q) == pytest.approx(12, rel=1e-9)
    assert vendi_score(turn[:1].repeat(30, 1), q) == pytest.approx(1, rel=1e-9)
    shares = torch.tensor([10, 5, 4, 1])
    p = shares.double() / 20
    if q == 1:
        expected = math.exp(-float((p * p.log()).sum()))
    else:
        expected = 2.0 if math.isinf(q) else float((p**q).sum()) ** (1 / (1 - q))
    assert vendi_score(turn[:4].repeat_interleave(shares, 0), q) == pytest.approx(expected, rel=1e-9)


def test_further_dimensions_lengths_and_rotations_do_not_matter() -> None:
    x = SETS["tall"][:20]
    assert vendi_score(torch.nn.functional.pad(x, (0, 50))) == pytest.approx(vendi_score(x), rel=1e-9)
    assert vendi_score(x * torch.linspace(0.1, 9, 20)[:, None]) == pytest.approx(vendi_score(x), rel=1e-9)
    assert vendi_score(x @ rotation(16, 2)) == pytest.approx(vendi_score(x), rel=1e-9)


def test_rows_of_zeros_are_one_kind() -> None:
    assert vendi_score(torch.zeros(6, 3)) == pytest.approx(1)
    assert vendi_score(torch.cat([torch.eye(3), torch.zeros(1, 3)])) == pytest.approx(4)


@pytest.mark.parametrize("q", [0.5, 1.0, 2.0, math.inf])
@pytest.mark.parametrize("name", ["tall", "wide"])
def test_influence_is_the_derivative_by_the_weight_of_a_row(name: str, q: float) -> None:
    x, copies = SETS[name][:50], 400
    spectrum = _spectrum(x)
    influence = spectrum.forms(_slopes(spectrum, q)[0])
    for row in range(3):
        more = torch.cat([x.repeat(copies, 1), x[row : row + 1]])
        less = torch.cat([x.repeat(copies - 1, 1), x[:row], x[row + 1 :]])
        moved = (vendi_score(more, q) - vendi_score(less, q)) / 2
        slope = (influence[row] - influence.mean()) / (copies * len(x))
        assert moved == pytest.approx(float(slope), abs=2e-2 * float(influence.std()) / (copies * len(x)))


@pytest.mark.parametrize("q", [1.0, 2.0])
def test_the_second_derivative_of_equally_frequent_kinds_has_a_closed_form(q: float) -> None:
    # For K kinds at right angles and of equal share p, the second derivative is 1 - [same kind] / p for the entropy
    # of order 1, and q times that for other orders. The score, K, multiplies it.
    kinds = torch.arange(5).repeat(40)
    spectrum = _spectrum(rotation(9, 1)[:5][kinds])
    generator = rng(3)
    order = torch.from_numpy(rng(3).permutation(200))
    expected = 5 * q * (1 - 5.0 * (kinds[order] == kinds[order.roll(1)]))
    torch.testing.assert_close(_second(spectrum, q, generator), expected.double(), rtol=1e-6, atol=1e-6)


def test_interval_is_reproducible_and_within_the_range() -> None:
    x = features(SETS["collapsed"].float())
    first, second = Vendi()(x, x, rng(3))["vendi"], Vendi()(x, x, rng(3))["vendi"]
    assert first == second
    assert 1 <= (first.lo or 0) < first.value < (first.hi or 0) <= 200
    assert Vendi(bootstrap=0)(x, x, rng())["vendi"].lo is None


@pytest.mark.parametrize("q", [0.0, -1.0, float("nan")])
def test_an_order_that_is_not_positive_is_refused(q: float) -> None:
    with pytest.raises(UserError, match="q is"):
        vendi_score(SETS["tall"], q)
