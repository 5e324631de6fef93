"""Perplexity of a Markov chain, which has a closed form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel

from collapse_lab.errors import UserError
from collapse_lab.probes.perplexity import IMPROBABLE, PROBABLE, QUANTILES, Perplexity, share_above
from collapse_lab.types import Estimate, Samples
from tests.probes.texts import Chain, chain, subject

RNG = np.random.default_rng(0)
REAL, LATER = chain(6, 0), chain(6, 1)


def inside(estimate: Estimate, truth: float) -> bool:
    assert estimate.lo is not None
    assert estimate.hi is not None
    return estimate.lo <= truth <= estimate.hi


def test_each_text_is_scored_by_the_model_that_is_meant_for_it() -> None:
    real, generated = REAL.write(3000, 20, 0), LATER.write(2000, 20, 1)
    estimates = Perplexity()(subject(real, generated, LATER, REAL), RNG)
    for name, model, writer in (
        ("perplexity", LATER, REAL),
        ("generated_perplexity", REAL, LATER),
        ("generated_perplexity_floor", REAL, REAL),
    ):
        rows, n = (generated, 2000) if writer is LATER else (real, 3000)
        error = model.token_nlls(subject(rows, rows).real).mean(1).std() / n**0.5
        assert math.log(estimates[name].value) == pytest.approx(model.rate(writer), abs=4 * float(error)), name
    assert len({round(estimates[name].value, 1) for name in ("perplexity", "generated_perplexity")}) == 2


def test_the_model_before_its_first_fit_is_measured_in_generation_0_alone() -> None:
    real, generated, start = REAL.write(3000, 20, 0), LATER.write(30, 20, 1), chain(6, 3)
    at_first = subject(real, generated, REAL, REAL, start)
    measured = Perplexity(zero_shot=True)(at_first, RNG)["perplexity_zero_shot"]
    error = start.token_nlls(at_first.real).mean(1).std() / 3000**0.5
    assert math.log(measured.value) == pytest.approx(start.rate(REAL), abs=4 * float(error))
    assert measured == Perplexity()(subject(real, generated, start, REAL), RNG)["perplexity"]
    later = subject(real, generated, LATER, REAL, start)
    scored = start.scored
    for probe, at in ((Perplexity(), at_first), (Perplexity(zero_shot=True), later)):
        assert "perplexity_zero_shot" not in probe(at, RNG)
    assert start.scored == scored


def test_the_perplexities_of_single_blocks_under_generation_0_are_kept() -> None:
    looked_at = subject(REAL.write(40, 20, 0), LATER.write(30, 20, 1), LATER, REAL)
    Perplexity()(looked_at, RNG)
    for name, rows in (("generated_perplexity", looked_at.generated), ("real_perplexity", looked_at.real)):
        assert looked_at.kept[name] == pytest.approx(REAL.token_nlls(rows).double().mean(1).exp().numpy())


def test_the_perplexity_of_a_uniform_model_is_the_size_of_its_vocabulary() -> None:
    estimates = Perplexity()(
        subject(REAL.write(5, 8, 0), REAL.write(9, 8, 1), *[Chain(np.full((6, 6), 1 / 6))] * 2), RNG
    )
    for name in ("perplexity", "generated_perplexity", "generated_perplexity_q50", "generated_perplexity_q01_floor"):
        assert estimates[name].value == pytest.approx(6)
    assert (
        estimates["improbable_share"].value == estimates["probable_share"].value == 0
    )  # because all blocks have the same score


def test_quantiles_are_of_single_blocks() -> None:
    real, generated = REAL.write(400, 20, 0), LATER.write(501, 20, 1)
    estimates = Perplexity()(subject(real, generated, REAL, REAL), RNG)
    blocks = REAL.token_nlls(subject(real, generated).generated).double().mean(1).exp().numpy()
    names = [f"generated_perplexity_q{p}" for p in ("01", "05", "25", "50", "75", "95", "99")]
    assert [estimates[name].value for name in names] == pytest.approx(np.quantile(blocks, QUANTILES, method="nearest"))
    assert all(f"{name}_floor" in estimates for name in names)


def test_shares_count_the_blocks_beyond_a_quantile_of_real_blocks() -> None:
    writer = chain(6, 0, 0.3)  # surer of each next token
    real = REAL.write(2000, 20, 0)
    scores = REAL.token_nlls(subject(real, real).real).double().mean(1).numpy()
    for text in (writer.write(1000, 20, 1), LATER.write(1000, 20, 1)):
        estimates = Perplexity()(subject(real, text, REAL, REAL), RNG)
        own = REAL.token_nlls(subject(text, text).real).double().mean(1).numpy()
        above, below = np.sort(scores)[[round(0.99 * 2001) - 1, round(0.05 * 2001) - 1]]
        assert estimates["improbable_share"].value == pytest.approx(np.mean(own > above), abs=2e-3)
        assert estimates["probable_share"].value == pytest.approx(np.mean(own < below), abs=2e-3)
    assert (estimates["improbable_share_floor"].value, estimates["probable_share_floor"].value) == (
        IMPROBABLE,
        PROBABLE,
    )


def test_generation_0_scores_real_text_once_and_the_probe_keeps_no_state() -> None:
    model, other = chain(6, 2), chain(6, 2)
    Perplexity()(subject(REAL.write(10, 8, 0), REAL.write(7, 8, 1), model, model), RNG)
    assert model.scored == 17
    probe = Perplexity()
    for _ in range(2):
        probe(subject(REAL.write(10, 8, 0), REAL.write(7, 8, 1), other, model), RNG)
    assert other.scored == 20
    assert vars(probe) == {"zero_shot": False}


def test_intervals_contain_the_closed_form_95_times_in_100() -> None:
    held = []
    for seed in range(1500):
        estimates = Perplexity()(
            subject(REAL.write(100, 12, seed), LATER.write(100, 12, 10**6 + seed), REAL, REAL), RNG
        )
        texts = (("perplexity", REAL), ("generated_perplexity", LATER))
        held.append([inside(estimates[name], math.exp(REAL.rate(writer))) for name, writer in texts])
    for share in np.mean(held, axis=0):
        assert 0.92 <= share <= 0.98, np.mean(held, axis=0)


@pytest.mark.parametrize(("tail", "shift", "spread"), [(0.01, 0.0, 1.0), (0.01, 0.5, 1.3), (0.05, -0.5, 1.0)])
def test_shares_are_unbiased_and_their_intervals_contain_them_95_times_in_100(
    tail: float, shift: float, spread: float
) -> None:
    rng, truth = np.random.default_rng(1), norm.sf(norm.isf(tail), shift, spread)
    shares = [share_above(rng.normal(shift, spread, 1000), rng.normal(size=1000), tail) for _ in range(600)]
    assert 0.92 <= np.mean([inside(share, truth) for share in shares]) <= 0.98
    values = np.asarray([share.value for share in shares])
    # Where `values` are distributed as the real ones the share is unbiased; elsewhere its bias is below its spread
    assert values.mean() == pytest.approx(truth, abs=3 * values.std() / 600**0.5 if shift == 0 else 0.15 * values.std())


def test_a_share_beyond_the_outermost_of_few_blocks_has_a_wide_interval() -> None:
    few, floor = np.arange(9.0), 1 / 10
    found_share = share_above(np.linspace(0, 9, 100), few, 0.01)
    assert found_share.value == 0.11
    assert (
        found_share.hi or 0
    ) - found_share.value > 0.45  # half of the values lie above, because the quantile may lie anywhere
    real = REAL.write(9, 8, 0)
    estimates = Perplexity()(subject(real, REAL.write(9, 8, 1), REAL, REAL), RNG)
    assert estimates["improbable_share_floor"].value == estimates["probable_share_floor"].value == floor


def test_wrong_models_and_unusable_blocks_are_refused() -> None:
    rows = REAL.write(4, 8, 0)

    def look(real: np.ndarray, generated: np.ndarray, model: Any, first: Any) -> None:
        Perplexity()(subject(real, generated, model, first), RNG)

    with pytest.raises(UserError, match="needs a language model; object is not one"):
        look(rows, rows, object(), REAL)
    with pytest.raises(UserError, match="needs a language model; object is not one"):
        look(rows, rows, REAL, object())
    with pytest.raises(UserError, match="needs 2 real blocks or more; there are 0"):
        look(rows[:0], rows, REAL, REAL)
    with pytest.raises(UserError, match="needs 2 generated blocks or more; there are 1"):
        look(rows, rows[:1], REAL, REAL)
    with pytest.raises(UserError, match="gave 0 of 0 for real blocks; give longer blocks"):
        look(rows[:, :1], rows, REAL, REAL)
    broken = chain(6, 0)
    broken.token_nlls = lambda samples: torch.full((len(samples), 7), math.nan)  # type: ignore[method-assign]
    with pytest.raises(UserError, match="Chain gave 0 of 28 for real blocks"):
        look(rows, rows, REAL, broken)


def test_perplexity_is_exp_of_the_mean_loss_of_batches_of_a_transformer() -> None:
    torch.manual_seed(0)
    network = GPT2LMHeadModel(GPT2Config(vocab_size=6, n_positions=8, n_embd=8, n_layer=1, n_head=1)).eval()
    rows = REAL.write(12, 8, 0)

    class Language:
        @torch.inference_mode()
        def token_nlls(self, samples: Samples) -> Tensor:
            logits = network(samples.data).logits[:, :-1]
            return cross_entropy(logits.mT, samples.data[:, 1:], reduction="none")

    estimates = Perplexity()(subject(rows, rows, Language(), Language()), RNG)
    with torch.inference_mode():
        losses = [float(network(batch, labels=batch).loss) for batch in torch.from_numpy(rows).reshape(3, 4, 8)]
    assert estimates["perplexity"].value == pytest.approx(math.exp(np.mean(losses)), rel=1e-5)
