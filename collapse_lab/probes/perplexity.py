"""The perplexity of real text under a language model, and of generated text under the model of generation 0."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.intervals import Z, share
from collapse_lab.probes import replicas
from collapse_lab.types import Estimate, Prospect, Samples, Subject

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
IMPROBABLE, PROBABLE = 0.01, 0.05  # shares of real blocks beyond which a generated block is improbable or probable
GENERATED, REAL = "generated_perplexity", "real_perplexity"  # the numbers of single blocks that are kept for figures


@runtime_checkable
class ScoresTokens(Protocol):
    """Describe a family that predicts each token from the tokens before it."""

    def token_nlls(self, samples: Samples) -> Tensor:
        """Return -log p(token_t | the tokens before it) in nats from the second token on, (n, length - 1)."""
        ...


class Perplexity:
    """Measure exp of the mean of -log p(token | the tokens before it), in nats, over the tokens after a block's first.

    perplexity: Of the model itself on held-out real blocks; the mean is over their tokens. As blocks have one length,
        it is arXiv:2305.17493's exp of the mean loss of batches, except for a last batch that is smaller.
    generated_perplexity: Of generated blocks, under the model of generation 0.
    generated_perplexity_q01, q05, q25, q50, q75, q95, q99: Quantiles of the perplexity of single generated blocks; the
        paper draws these as a histogram.
    improbable_share: The share of generated blocks that are less probable under generation 0 than 99 % of real blocks:
        the long tail.
    probable_share: The share of generated blocks that are more probable under generation 0 than 95 % of real blocks.
    perplexity_zero_shot: Of the model before its first fit on the held-out real blocks. Generation 0 alone has it, and
        only if `zero_shot` is given.

    Each number of generated blocks has a `_floor`: the same number of the held-out real blocks under generation 0.
    Perplexities are in [1, inf); a model that knows nothing has the size of the vocabulary.

    Intervals are over blocks, as if the blocks were independent. Those of perplexities are on the logarithmic scale,
    those of quantiles lie between order statistics (there is none where the blocks are too few), and those of shares
    include the uncertainty of the quantile of real blocks.

    The perplexities of single blocks under generation 0 are kept for figures (`kept` of the subject).

    Args:
        zero_shot: Whether the model is measured before the fit of generation 0 too: pretrained weights that have seen
            none of the data, or a fresh network, whose perplexity is about the size of the vocabulary.

    Raises:
        UserError: The family scores no tokens, there are fewer than 2 blocks, or a score is not finite.

    Source: the language models of arXiv:2305.17493.
    """

    version: ClassVar[int] = 1

    def __init__(self, zero_shot: bool = False) -> None:
        self.zero_shot = zero_shot

    def check_run(self, prospect: Prospect) -> None:
        """Refuse a family that scores no tokens, and fewer than 2 blocks."""
        _scorer(prospect.model)
        for number, which in ((prospect.real, "real"), (prospect.generated, "generated")):
            _need_blocks(number, which)

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return all perplexities and shares, with their floors."""
        model, first = _scorer(subject.model), _scorer(subject.first())
        own = _of_blocks(model, subject.real, "real")
        before = {}
        if self.zero_shot and first is model and subject.start is not None:
            start = _of_blocks(_scorer(subject.start()), subject.real, "real")
            before["perplexity_zero_shot"] = _exp(replicas.mean(start))
        real = own if first is model else _of_blocks(first, subject.real, "real")
        generated = _of_blocks(first, subject.generated, "generated")
        subject.kept.update({GENERATED: _perplexities(generated), REAL: _perplexities(real)})
        estimates = _distribution(generated) | {
            "improbable_share": share_above(generated, real, IMPROBABLE),
            "probable_share": share_above(-generated, -real, PROBABLE),
        }
        floor = {name: estimate.value for name, estimate in _distribution(real).items()}
        least = 1 / (len(real) + 1)  # the quantile of few blocks is their outermost value
        floor |= {"improbable_share": max(IMPROBABLE, least), "probable_share": max(PROBABLE, least)}
        return {
            "perplexity": _exp(replicas.mean(own)),
            **before,
            **estimates,
            **{f"{name}_floor": Estimate(value) for name, value in floor.items()},
        }


def share_above(values: Float[np.ndarray, " n"], real: Float[np.ndarray, " m"], tail: float) -> Estimate:
    """Return the share of `values` above the quantile that further real values exceed with probability `tail`.

    The quantile of `real` is Weibull's: rank (1 - tail) (m + 1). The variance is that of the share and of the quantile.

    Args:
        values: Scores of generated blocks, (n,).
        real: Scores of real blocks, (m,).
        tail: The expected share of further real values above the quantile, in (0, 1).
    """
    value = float((values > np.quantile(real, 1 - tail, method="weibull")).mean())
    (quantile,) = replicas.quantiles(real, (1 - tail,))
    # Too few real values give no interval of their quantile, so the quantile may lie beyond all of them
    lo, hi = (-math.inf, math.inf) if quantile.lo is None or quantile.hi is None else (quantile.lo, quantile.hi)
    quantile_error = float(((values > lo) & (values <= hi)).mean()) / (2 * Z)
    return share(value, len(values), math.hypot(math.sqrt(value * (1 - value) / len(values)), quantile_error))


def _distribution(nlls: Float[np.ndarray, " n"]) -> dict[str, Estimate]:
    """Return the perplexity of blocks, and its quantiles."""
    estimates = {"generated_perplexity": _exp(replicas.mean(nlls))}
    for p, quantile in zip(QUANTILES, replicas.quantiles(nlls, QUANTILES), strict=True):
        estimates[f"generated_perplexity_q{round(100 * p):02d}"] = _exp(quantile)
    return estimates


def _perplexities(nlls: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    return np.asarray(np.exp(np.minimum(nlls, math.log(np.finfo(float).max))))


def _exp(logarithm: Estimate) -> Estimate:
    def exp(end: float) -> float:
        with np.errstate(over="ignore"):  # the ledger leaves out what is not finite
            return float(np.exp(end))

    lo, hi = (None if end is None else exp(end) for end in (logarithm.lo, logarithm.hi))
    return Estimate(exp(logarithm.value), lo, hi)


def _of_blocks(model: ScoresTokens, samples: Samples, which: str) -> Float[np.ndarray, " n"]:
    """Return the mean score of the tokens of each block."""
    _need_blocks(len(samples), which)
    scores = model.token_nlls(samples).double().numpy()
    if not scores.shape[1] or not np.isfinite(scores).all():
        raise UserError(
            f"probes=[perplexity] needs a finite score of every token after a block's first, and "
            f"{type(model).__name__} gave {np.isfinite(scores).sum()} of {scores.size} for {which} blocks; give longer "
            "blocks, or a wider trainer.precision"
        )
    return np.asarray(scores.mean(1))


def _need_blocks(number: int, which: str) -> None:
    if number < 2:
        raise UserError(f"probes=[perplexity] needs 2 {which} blocks or more; there are {number}")


def _scorer(model: object) -> ScoresTokens:
    if not isinstance(model, ScoresTokens):
        raise UserError(
            f"probes=[perplexity] needs a language model; {type(model).__name__} is not one: leave it out of probes=[…]"
        )
    return model
