from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from collapse_lab.engine.fitting import RandomRows
from collapse_lab.errors import Diverged, UserError
from collapse_lab.images import as_float
from collapse_lab.models.vae import VAE
from collapse_lab.probes.latent_spread import LatentSpread
from collapse_lab.types import Captions, Conditions, Samples, Spec, Subject
from tests.e2e import command
from tests.models.cases import DATA, QUIET, budget, built, levels, place, same
from tests.nursery import Nursery

DIGITS = DATA.load()


def vae(spec: Spec = DATA.spec, **changes: Any) -> VAE:
    return built(VAE, spec, {"channels": 4, "latent": 3, **changes})


def fitted(data: Samples = DIGITS.train, steps: int = 6, batch_size: int = 8, **changes: Any) -> VAE:
    model = vae(**changes)
    model.fit(data, budget(steps, batch_size, gradient_clip=None), place(), QUIET)
    return model


def images(n: int, shape: tuple[int, ...] = (1, 8, 8), seed: int = 0) -> Samples:
    rng = np.random.default_rng(seed)
    data = torch.from_numpy(rng.integers(0, 256, (n, *shape), dtype=np.uint8))
    return Samples(data, np.full(n, -1, np.int64))


def wanted(n: int) -> Conditions:
    return Conditions(np.arange(n, dtype=np.int64) % 10, Captions.of([f"image {i % 2}" for i in range(n)]))


def draw(model: VAE, n: int = 5, generation: int = 0) -> Samples:
    return model.sample(wanted(n), place(generation, "sample/all"), QUIET)


def drawn_noise(n: int, seed: int = 0) -> Tensor:
    """Return n standard normal draws for a latent space of three dimensions."""
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))


def test_the_number_of_parameters_is_that_of_the_paper() -> None:
    model = VAE(Spec("image", (1, 28, 28)))
    assert sum(parameter.numel() for parameter in model.parameters()) == 647_081


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 20), (1, 28, 28)])
def test_images_of_any_size_that_4_divides_are_drawn(shape: tuple[int, int, int]) -> None:
    model = VAE(Spec("image", shape), channels=4, latent=3)
    model.fit(images(8, shape), budget(2, 4), place(), QUIET)
    drawn = draw(model)
    assert drawn.data.shape == (5, *shape)
    assert drawn.data.dtype == torch.uint8


def losses(model: VAE, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Return the two terms of the loss as papers write them, each summed over a batch."""
    mean, log_variance = model.encode(x)
    y = model.decode(mean + log_variance.mul(0.5).exp() * noise).sigmoid()
    kl = -0.5 * (1 + log_variance - mean.pow(2) - log_variance.exp()).sum()
    return binary_cross_entropy(y, x, reduction="sum"), kl


@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_a_fit_takes_the_steps_of_adam_on_the_loss_summed_over_a_batch(beta: float) -> None:
    steps, batch = 20, 8
    model = fitted(steps=steps, batch_size=batch, beta=beta, weight_decay=0.5)  # large enough to matter
    other = vae(beta=beta)
    adam = torch.optim.Adam(other.parameters(), 1e-3, weight_decay=0.5, foreach=False, fused=False)
    generator = place().child("noise").torch()
    for rows in RandomRows(len(DIGITS.train), budget(steps, batch), place()):
        x = DIGITS.train.data[rows].float() / 255
        error, kl = losses(other, x, torch.randn(batch, 3, generator=generator))
        adam.zero_grad()
        (error + beta * kl).backward()  # type: ignore[no-untyped-call]
        adam.step()
    start = vae().weights()
    for name, value in model.weights().items():
        moved = (value - start[name]).abs().max()
        assert moved > 1e-3
        # Where a gradient is nearly 0, Adam scales up its rounding, and moves a weight by a few learning rates at most
        assert (value - other.weights()[name]).abs().mean() < 1e-3 * moved


def test_the_terms_are_those_of_torch_distributions() -> None:
    model = fitted(steps=20)
    x, noise = DIGITS.reference.data[:9].float() / 255, drawn_noise(9)
    with torch.no_grad():
        mean, log_variance = model.encode(x)
        logits = model.decode(mean + (log_variance / 2).exp() * noise)
        posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
        kl = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1)
        bernoulli: Any = torch.distributions.Bernoulli(
            logits=logits, validate_args=False
        )  # because it admits 0 and 1 only
        likelihood = bernoulli.log_prob(x).flatten(1).sum(1)
        error, divergence = model.terms(x, noise)
    torch.testing.assert_close(divergence, kl, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(error, -likelihood, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.elbos(DIGITS.reference.take(np.arange(9)), noise), likelihood - kl)


def test_a_decoder_of_zeros_costs_one_bit_per_pixel() -> None:
    model = vae()
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    expected = torch.full((7,), -64 * math.log(2))
    torch.testing.assert_close(model.elbos(images(7), drawn_noise(7)), expected)
    assert (draw(model).data == 128).all()  # 127.5, rounded to even


def test_the_bound_lies_below_the_likelihood_by_importance_sampling() -> None:
    model, draws = fitted(steps=200, batch_size=16), 2000
    many = DIGITS.reference.take(np.arange(4).repeat(draws))
    noise = torch.randn(len(many), 3, generator=torch.Generator().manual_seed(1))
    x = many.data.float() / 255
    normal: Any = torch.distributions.Normal
    with torch.no_grad():
        mean, log_variance = model.encode(x)
        sigma = (log_variance / 2).exp()
        z = mean + sigma * noise
        error = torch.nn.functional.binary_cross_entropy_with_logits(model.decode(z), x, reduction="none")
        ratio = normal(0.0, 1.0).log_prob(z) - normal(mean, sigma).log_prob(z)
    weight = (ratio.sum(1) - error.flatten(1).sum(1)).view(4, draws)
    likelihood = weight.logsumexp(1) - math.log(draws)
    bound = model.elbos(many, noise).view(4, draws).mean(1)
    # log E w - E log w is half the variance of log w where that variance is small
    gap = (likelihood - bound) / weight.var(1)
    assert ((gap > 0.3) & (gap < 0.7)).all()


def test_samples_are_the_mean_of_the_decoder_at_draws_from_the_prior() -> None:
    model = fitted()
    drawn = draw(model, 40)
    z = torch.randn(40, 3, generator=place(0, "sample/all").torch())
    with torch.no_grad():
        expected = (255 * model.decode(z).sigmoid()).round()
    assert levels(drawn.data, expected) <= 1
    assert (drawn.labels == wanted(40).labels).all()
    assert drawn.captions.texts() == wanted(40).captions.texts()
    small = fitted(sampling_batch=7)
    assert levels(draw(small, 40).data, drawn.data) <= 1
    assert levels(draw(model, 40, generation=1).data, drawn.data) > 1


def test_the_same_place_gives_the_same_weights_bit_for_bit() -> None:
    torch.manual_seed(99)  # because a fit must not depend on the global generator
    expected = torch.rand(1)
    torch.manual_seed(99)
    model = fitted()
    assert torch.equal(torch.rand(1), expected)
    assert same(model.weights(), fitted().weights())
    loaded = vae(latent=3)
    loaded.load(model.weights())
    assert torch.equal(draw(loaded).data, draw(model).data)


def test_a_fit_learns_the_digits() -> None:
    noise = torch.zeros(len(DIGITS.reference), 3)
    before, after = (fitted(steps=s, batch_size=16, lr=5e-3).elbos(DIGITS.reference, noise).mean() for s in (0, 200))
    marginal = DIGITS.train.data.float().mean(0) / 255
    x = DIGITS.reference.data.float() / 255
    # A fitted model is better than independent pixels with the means of the training rows
    assert before < -binary_cross_entropy(marginal.expand_as(x), x, reduction="sum") / len(x) < after


def test_float_and_uint8_images_are_read_alike() -> None:
    model, data = vae(), images(6)
    floats = Samples(as_float(data.data), data.labels)
    torch.testing.assert_close(model.posterior_means(floats), model.posterior_means(data))


def test_a_loss_or_a_sample_that_is_not_finite_is_a_divergence() -> None:
    with pytest.raises(Diverged, match="loss"):
        fitted(lr=1e6)
    broken = vae()
    torch.nn.init.constant_(broken.expand.bias, math.nan)
    with pytest.raises(Diverged, match="5 samples"):
        draw(broken)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ema_decay": 0.9}, r"model=vae .* no moving average, and .*ema_decay is 0\.9; give .*ema_decay=null"),
        ({"spec": Spec("image", (1, 10, 8))}, r"4 must divide.*10x8.*image_size=8"),
        ({"spec": Spec("image", (1, 3, 3))}, "image_size=4"),
        ({"spec": Spec("points", (2,))}, "model=vae draws images; this data set holds points"),
    ],
)
def test_data_and_settings_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        vae(**changes)


def probed(model: VAE, first: VAE, **changes: Any) -> dict[str, Any]:
    subject = Subject(model, lambda: first, DIGITS.reference, draw(model, 50))
    return dict(LatentSpread(**changes)(subject, np.random.default_rng(0)))


def test_the_spread_is_of_the_first_models_posterior_means() -> None:
    first, model = fitted(steps=50), fitted(steps=20)
    estimates = probed(model, first, images=30)
    means = first.posterior_means(draw(model, 50)).numpy()[:30]
    assert estimates["latent_spread"].value == pytest.approx(means.std(), rel=1e-6)
    assert estimates["latent_spread"].lo < estimates["latent_spread"].value < estimates["latent_spread"].hi
    assert probed(model, model, images=30)["latent_spread"] != estimates["latent_spread"]
    assert probed(model, model)["elbo"] == probed(model, first)["elbo"] != probed(first, first)["elbo"]


def test_the_evidence_lower_bounds_are_on_real_rows_and_on_own_samples() -> None:
    model = fitted(steps=100, batch_size=16)
    estimates = probed(model, model)
    assert estimates["elbo"].lo < estimates["elbo"].value < estimates["elbo"].hi < 0
    own = draw(model, 50)  # fewer than the real rows: all of them
    several = [model.elbos(own, drawn_noise(len(own), seed)).mean() for seed in range(30)]
    assert estimates["elbo_generated"].value == pytest.approx(np.mean(several), abs=4 * float(np.std(several, ddof=1)))


def test_the_interval_of_a_spread_covers_that_of_normal_means() -> None:
    n, d, sigma, probe = 100, 20, 0.7, LatentSpread()
    rng = np.random.default_rng(0)
    spreads = [probe.spread(torch.from_numpy(sigma * rng.standard_normal((n, d)) + 0.1), rng) for _ in range(400)]
    half = np.mean(
        [(spread.hi - spread.lo) / 2 for spread in spreads if spread.hi is not None and spread.lo is not None]
    )
    error = sigma / math.sqrt(2 * n * d)  # of the standard deviation of n d normal values
    assert half == pytest.approx(1.96 * error, rel=0.03)
    assert np.mean([spread.value for spread in spreads]) == pytest.approx(sigma, abs=4 * error / math.sqrt(400))
    covered = np.mean(
        [spread.lo <= sigma <= spread.hi for spread in spreads if spread.hi is not None and spread.lo is not None]
    )
    assert 0.92 <= covered <= 0.98


def test_the_spread_of_equal_means_is_zero() -> None:
    spread = LatentSpread().spread(torch.full((10, 4), 0.25), np.random.default_rng(0))
    assert (spread.value, spread.lo, spread.hi) == (0.0, 0.0, 0.0)


def test_the_probe_refuses_a_family_without_an_encoder() -> None:
    class Blind:
        """A family without an encoder."""

    model: Any = Blind()
    subject = Subject(model, lambda: model, DIGITS.reference, images(4))
    with pytest.raises(UserError, match="needs a model with an encoder; Blind has none"):
        LatentSpread()(subject, np.random.default_rng(0))


def test_the_preset_sees_every_image_once() -> None:
    preset = OmegaConf.load(command.ROOT / "conf/experiment/recursive_vae.yaml")
    assert preset.n_train == preset.n_samples == preset.trainer.steps * preset.trainer.batch_size
    assert 30 * 60_000 <= preset.n_train < 31 * 60_000
    rows = torch.cat(list(RandomRows(4 * 8, budget(4, 8), place())))
    assert torch.equal(rows.sort().values, torch.arange(4 * 8))


def test_the_preset_runs_at_a_small_size(nursery: Nursery, tmp_path: Path) -> None:
    small = ["n_train=64", "n_samples=64", "trainer.steps=8", "trainer.batch_size=8", "generations=1"]
    quiet = ["model.channels=4", "sinks=[]", "device=cpu", f"paths.runs={tmp_path}"]
    end = nursery.run(["+experiment=recursive_vae", *small, *quiet])
    assert end.code == 0, end.err
    first, second = command.ledger(command.only_run(tmp_path, "recursive_vae"))
    assert (first["counts"]["synthetic"], second["counts"]["real"], second["counts"]["synthetic"]) == (0, 0, 64)
    for line in (first, second):
        names = {
            f"all/{name}{end}" for name in ("latent_spread", "elbo", "elbo_generated") for end in ("", "_lo", "_hi")
        }
        assert set(line["metrics"]) == names
