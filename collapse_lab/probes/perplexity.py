"""How surprised a language model is by real text, and the model of generation 0 by generated text."""

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
from collapse_lab.types import Estimate, Samples, Subject

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
IMPROBABLE, PROBABLE = 0.01, 0.05  # the shares of real blocks beyond which a generated one is called so


@runtime_checkable
class ScoresTokens(Protocol):
    """A family that predicts each token from those before it."""

    def token_nlls(self, samples: Samples) -> Tensor:
        """-log p(token_t | the tokens before it) in nats from the second token on, (n, length - 1)."""
        ...


class Perplexity:
    """exp of the mean of -log p(token | the tokens before it), in nats, over the tokens that a block has after its
    first.

    perplexity: of the model itself on held-out real blocks; the mean is over their tokens. As blocks are of one length
        it is arXiv:2305.17493's exp of the mean loss of batches, but for a last batch that is smaller.
    generated_perplexity: under the model of generation 0, of generated blocks.
    generated_perplexity_q01, q05, q25, q50, q75, q95, q99: quantiles of the perplexity of single blocks; the paper
        draws these as a histogram.
    improbable_share: of generated blocks, the share that is less probable under generation 0 than 99 % of real blocks
        are: the long tail.  probable_share: more probable than 95 % of them.

    What is said of generated blocks has a `_floor`, the same of the held-out real blocks under generation 0.
    Intervals are over blocks, as if these were independent: on the scale of the logarithm, of quantiles between order
    statistics (none where the blocks are too few), of shares with the uncertainty of the quantile of real blocks.

    Range: perplexity [1, inf), and the size of the vocabulary where nothing is known.
    Raises: UserError for a family that scores no tokens, fewer than 2 blocks, and scores that are not finite.
    Source: the language models of arXiv:2305.17493.
    """

    version: ClassVar[int] = 1

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Mapping[str, Estimate]:
        model, first = _scorer(subject.model), _scorer(subject.first())
        own = _of_blocks(model, subject.real, "real")
        real = own if first is model else _of_blocks(first, subject.real, "real")
        generated = _of_blocks(first, subject.generated, "generated")
        found = _distribution(generated) | {
            "improbable_share": share_above(generated, real, IMPROBABLE),
            "probable_share": share_above(-generated, -real, PROBABLE),
        }
        floor = {name: each.value for name, each in _distribution(real).items()}
        least = 1 / (len(real) + 1)  # of few blocks the quantile is the outermost one
        floor |= {"improbable_share": max(IMPROBABLE, least), "probable_share": max(PROBABLE, least)}
        return {
            "perplexity": _exp(replicas.mean(own)),
            **found,
            **{f"{name}_floor": Estimate(value) for name, value in floor.items()},
        }


def share_above(values: Float[np.ndarray, " n"], real: Float[np.ndarray, " m"], tail: float) -> Estimate:
    """The share of `values` above the quantile of `real` beyond which a share `tail` of further real ones is expected
    (Weibull's: rank (1 - tail) (m + 1)). Its variance is that of the share and of the quantile.
    """
    value = float((values > np.quantile(real, 1 - tail, method="weibull")).mean())
    (between,) = replicas.quantiles(real, (1 - tail,))
    # Where there are too few real values for an interval of their quantile, it may lie beyond all of them
    lo, hi = (-math.inf, math.inf) if between.lo is None or between.hi is None else (between.lo, between.hi)
    of_quantile = float(((values > lo) & (values <= hi)).mean()) / (2 * Z)
    return share(value, len(values), math.hypot(math.sqrt(value * (1 - value) / len(values)), of_quantile))


def _distribution(nlls: Float[np.ndarray, " n"]) -> dict[str, Estimate]:
    """Perplexity of blocks, and its quantiles."""
    found = {"generated_perplexity": _exp(replicas.mean(nlls))}
    for p, each in zip(QUANTILES, replicas.quantiles(nlls, QUANTILES), strict=True):
        found[f"generated_perplexity_q{round(100 * p):02d}"] = _exp(each)
    return found


def _exp(logarithm: Estimate) -> Estimate:
    def exp(end: float) -> float:
        with np.errstate(over="ignore"):  # what is not finite is left out of the ledger
            return float(np.exp(end))

    lo, hi = (None if end is None else exp(end) for end in (logarithm.lo, logarithm.hi))
    return Estimate(exp(logarithm.value), lo, hi)


def _of_blocks(model: ScoresTokens, samples: Samples, which: str) -> Float[np.ndarray, " n"]:
    """The mean score of the tokens of each block."""
    if len(samples) < 2:
        raise UserError(f"probes=[perplexity] needs 2 {which} blocks or more; there are {len(samples)}")
    scores = model.token_nlls(samples).double().numpy()
    if not scores.shape[1] or not np.isfinite(scores).all():
        raise UserError(
            f"probes=[perplexity] needs a finite score of every token after a block's first, and "
            f"{type(model).__name__} gave {np.isfinite(scores).sum()} of {scores.size} for {which} blocks; give longer "
            "blocks, or a wider trainer.precision"
        )
    return np.asarray(scores.mean(1))


def _scorer(model: object) -> ScoresTokens:
    if not isinstance(model, ScoresTokens):
        raise UserError(f"probes=[perplexity] needs a language model; {type(model).__name__} is none")
    return model
