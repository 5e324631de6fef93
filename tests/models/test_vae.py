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
from tests.models.cases import DATA, QUIET, budget, levels, place, same

DIGITS = DATA.load()


def vae(spec: Spec = DATA.spec, **changes: Any) -> VAE:
    """Built as the engine builds it: initialised from its place alone."""
    with place().child("init").scoped():
        return VAE(spec, **{"channels": 4, "latent": 3, **changes})


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


def test_it_has_as_many_parameters_as_the_paper_says() -> None:
    model = VAE(Spec("image", (1, 28, 28)))
    assert sum(each.numel() for each in model.parameters()) == 647_081


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 20), (1, 28, 28)])
def test_it_draws_images_of_any_size_that_4_divides(shape: tuple[int, int, int]) -> None:
    model = VAE(Spec("image", shape), channels=4, latent=3)
    model.fit(images(8, shape), budget(2, 4), place(), QUIET)
    drawn = draw(model)
    assert drawn.data.shape == (5, *shape)
    assert drawn.data.dtype == torch.uint8


def losses(model: VAE, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """What is minimised as papers write it, each term summed over a batch."""
    mean, log_variance = model.encode(x)
    y = model.decode(mean + log_variance.mul(0.5).exp() * noise).sigmoid()
    kl = -0.5 * (1 + log_variance - mean.pow(2) - log_variance.exp()).sum()
    return binary_cross_entropy(y, x, reduction="sum"), kl


@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_a_fit_takes_the_steps_of_adam_on_the_loss_summed_over_a_batch(beta: float) -> None:
    steps, batch = 20, 8
    model = fitted(steps=steps, batch_size=batch, beta=beta, weight_decay=0.5)  # of a size to be seen
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
        # Where a gradient is next to nothing, Adam takes its rounding for a direction: no more than a few lr
        assert (value - other.weights()[name]).abs().mean() < 1e-3 * moved


def test_the_terms_are_those_of_torch_distributions() -> None:
    model = fitted(steps=20)
    x, noise = DIGITS.reference.data[:9].float() / 255, torch.randn(9, 3)
    with torch.no_grad():
        mean, log_variance = model.encode(x)
        logits = model.decode(mean + (log_variance / 2).exp() * noise)
        posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
        kl = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1)
        bernoulli: Any = torch.distributions.Bernoulli(logits=logits, validate_args=False)  # it knows 0 and 1 alone
        likelihood = bernoulli.log_prob(x).flatten(1).sum(1)
        error, divergence = model.terms(x, noise)
    torch.testing.assert_close(divergence, kl, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(error, -likelihood, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.elbos(DIGITS.reference.take(np.arange(9)), noise), likelihood - kl)


def test_a_decoder_that_says_nothing_costs_a_bit_per_pixel() -> None:
    model = vae()
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    expected = torch.full((7,), -64 * math.log(2))
    torch.testing.assert_close(model.elbos(images(7), torch.randn(7, 3)), expected)
    assert (draw(model).data == 128).all()  # 127.5, to even


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
    # log E w - E log w, which is half the variance of log w where that is small
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
    torch.manual_seed(99)  # what others did to the global generator is of no matter
    expected = torch.rand(1)
    torch.manual_seed(99)
    model = fitted()
    assert torch.equal(torch.rand(1), expected)
    assert same(model.weights(), fitted().weights())
    loaded = vae(latent=3)
    loaded.load(model.weights())
    assert torch.equal(draw(loaded).data, draw(model).data)


def test_it_learns_the_digits() -> None:
    noise = torch.zeros(len(DIGITS.reference), 3)
    before, after = (fitted(steps=s, batch_size=16, lr=5e-3).elbos(DIGITS.reference, noise).mean() for s in (0, 200))
    marginal = DIGITS.train.data.float().mean(0) / 255
    x = DIGITS.reference.data.float() / 255
    # Better than the best that independent pixels can do, which is told from nothing but their means
    assert before < -binary_cross_entropy(marginal.expand_as(x), x, reduction="sum") / len(x) < after


def test_floats_and_bytes_are_the_same_images() -> None:
    model, data = vae(), images(6)
    floats = Samples(as_float(data.data), data.labels)
    torch.testing.assert_close(model.posterior_means(floats), model.posterior_means(data))


def test_a_loss_or_a_sample_that_is_not_a_number_is_a_divergence() -> None:
    with pytest.raises(Diverged, match="loss"):
        fitted(lr=1e6)
    broken = vae()
    torch.nn.init.constant_(broken.expand.bias, math.nan)
    with pytest.raises(Diverged, match="5 samples"):
        draw(broken)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"channels": 0}, r"model\.channels is 1 or more; got 0"),
        ({"latent": -1}, r"model\.latent is 1 or more"),
        ({"sampling_batch": 0}, r"model\.sampling_batch"),
        ({"beta": -0.1}, r"model\.beta is 0 or more"),
        ({"weight_decay": math.nan}, r"model\.weight_decay is 0 or more"),
        ({"lr": 0.0}, r"model\.lr is more than 0"),
        ({"spec": Spec("image", (1, 10, 8))}, r"4 must divide.*10x8.*image_size=8"),
        ({"spec": Spec("image", (1, 3, 3))}, "image_size=4"),
        ({"spec": Spec("points", (2,))}, "model=vae draws images; this data set holds points"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        vae(**changes)


def probed(model: VAE, first: VAE, **changes: Any) -> dict[str, Any]:
    subject = Subject(model, lambda: first, DIGITS.reference, draw(model, 50))
    return dict(LatentSpread(**changes)(subject, np.random.default_rng(0)))


def test_the_spread_is_that_of_the_first_models_means() -> None:
    first, model = fitted(steps=50), fitted(steps=20)
    found = probed(model, first, images=30)
    means = first.posterior_means(draw(model, 50)).numpy()[:30]
    assert found["latent_spread"].value == pytest.approx(means.std(), rel=1e-6)
    assert found["latent_spread"].lo < found["latent_spread"].value < found["latent_spread"].hi
    assert probed(model, model, images=30)["latent_spread"] != found["latent_spread"]
    assert probed(model, model)["elbo"] == probed(model, first)["elbo"] != probed(first, first)["elbo"]


def test_the_bounds_are_of_the_model_on_real_rows_and_on_its_own() -> None:
    model = fitted(steps=100, batch_size=16)
    found = probed(model, model)
    assert found["elbo"].lo < found["elbo"].value < found["elbo"].hi < 0
    own = draw(model, 50)  # fewer than the real rows: all of them
    several = [model.elbos(own, torch.randn(len(own), 3)).mean() for _ in range(30)]
    assert found["elbo_generated"].value == pytest.approx(np.mean(several), abs=4 * float(np.std(several, ddof=1)))


def test_the_interval_of_a_spread_is_that_of_independent_normal_means() -> None:
    n, d, sigma, probe = 100, 20, 0.7, LatentSpread()
    rng = np.random.default_rng(0)
    found = [probe.spread(torch.from_numpy(sigma * rng.standard_normal((n, d)) + 0.1), rng) for _ in range(400)]
    half = np.mean([(each.hi - each.lo) / 2 for each in found if each.hi is not None and each.lo is not None])
    error = sigma / math.sqrt(2 * n * d)  # of the standard deviation of n d normal values
    assert half == pytest.approx(1.96 * error, rel=0.03)
    assert np.mean([each.value for each in found]) == pytest.approx(sigma, abs=4 * error / math.sqrt(400))
    held = np.mean([each.lo <= sigma <= each.hi for each in found if each.hi is not None and each.lo is not None])
    assert 0.92 <= held <= 0.98


def test_a_spread_of_nothing_is_zero() -> None:
    spread = LatentSpread().spread(torch.full((10, 4), 0.25), np.random.default_rng(0))
    assert (spread.value, spread.lo, spread.hi) == (0.0, 0.0, 0.0)


def test_a_probe_that_cannot_be_is_refused() -> None:
    class Blind:
        """A family without an encoder."""

    model: Any = Blind()
    subject = Subject(model, lambda: model, DIGITS.reference, images(4))
    with pytest.raises(UserError, match="needs a model with an encoder; Blind has none"):
        LatentSpread()(subject, np.random.default_rng(0))


def test_the_preset_draws_every_image_of_a_batch_anew() -> None:
    preset = OmegaConf.load(command.ROOT / "conf/experiment/recursive_vae.yaml")
    assert preset.n_train == preset.n_samples == preset.trainer.steps * preset.trainer.batch_size
    assert 30 * 60_000 <= preset.n_train < 31 * 60_000
    rows = torch.cat(list(RandomRows(4 * 8, budget(4, 8), place())))
    assert torch.equal(rows.sort().values, torch.arange(4 * 8))


def test_the_preset_runs_at_a_small_size(tmp_path: Path) -> None:
    small = ["n_train=64", "n_samples=64", "trainer.steps=8", "trainer.batch_size=8", "generations=1"]
    quiet = ["model.channels=4", "sinks=[]", "device=cpu", f"paths.runs={tmp_path}"]
    done = command.run(["+experiment=recursive_vae", *small, *quiet])
    assert done.returncode == 0, done.stderr
    first, second = command.ledger(command.only_run(tmp_path, "recursive_vae"))
    assert (first["counts"]["synthetic"], second["counts"]["real"], second["counts"]["synthetic"]) == (0, 0, 64)
    for line in (first, second):
        names = {
            f"all/{name}{end}" for name in ("latent_spread", "elbo", "elbo_generated") for end in ("", "_lo", "_hi")
        }
        assert set(line["metrics"]) == names
