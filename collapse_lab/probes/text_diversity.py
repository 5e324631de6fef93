"""Diversity of generated text beside that of real text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from jaxtyping import Float, Int

from collapse_lab.errors import UserError
from collapse_lab.metrics.intervals import Z
from collapse_lab.metrics.ngrams import distinct, ngrams, repetition, unique_to_sample
from collapse_lab.metrics.self_bleu import ORDERS, mean_self_bleu, self_bleu
from collapse_lab.metrics.vocabulary import rare_tokens, recall, unigram_entropy
from collapse_lab.types import Estimate, ProperShare, Prospect, Samples, Subject

TokenRows = Int[np.ndarray, "n length"]


class TextDiversity:
    """Measure the diversity of n generated samples; n is the smaller of their number and that of held-out real rows.

    distinct_1 … distinct_4: Distinct n-grams / n-grams, over all samples together (arXiv:1510.03055).
    vocabulary: The number of distinct tokens.
    unigram_entropy: The entropy of the tokens' histogram, in bits.
    repetition: The mean share of a sample's 4-grams that the sample had before (arXiv:1908.04319).
    self_bleu: The mean BLEU-4 of a sample against the others, of at most `bleu_samples` (arXiv:1802.01886).
    rare_token_recall: The share of the rare tokens of n/2 real rows that n/2 generated samples have too. It is left
        out where no token is rare.

    Tokens are the model's tokens, not words. All of these numbers depend on n, so each has its `_floor`: the same
    number of as many held-out real rows (for the recall, of the other half of them). Every generation takes
    the same rows.

    Intervals are over samples. They come from what each sample adds to a number, or from what is left without it (a
    jackknife): a bootstrap repeats samples, and counts the repeats as lost variety. They are intervals of the number's
    expectation at this n, and too wide rather than too narrow (Efron and Stein, Annals of Statistics 9, 1981).

    Args:
        bleu_samples: The most samples that self-BLEU is computed of, 2 or more.
        rare: The largest share of those n/2 real rows' tokens that a rare token has, in [0, 1). A token that
            occurs once is always rare.

    Raises:
        UserError: The samples are not rows of tokens, there are fewer than 4 generated or real ones, or they are
            shorter than 4 tokens.
    """

    version: ClassVar[int] = 1

    def __init__(self, bleu_samples: Annotated[int, Ge(2)] = 500, rare: ProperShare = 1e-4) -> None:
        self.bleu_samples, self.rare = bleu_samples, rare

    def check_run(self, prospect: Prospect) -> None:
        """Refuse data that are no rows of tokens, and too few or too short ones."""
        spec = prospect.spec
        if spec.modality != "tokens":
            raise UserError(
                f"probes=[text_diversity] needs samples that are rows of tokens; this data set holds {spec.modality} "
                f"{spec.shape}. Leave it out of probes=[…], or give a data set of text"
            )
        for number, which in ((prospect.real, "real"), (prospect.generated, "generated")):
            _need_rows(number, spec.shape[0], which)

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Mapping[str, Estimate]:
        """Return the diversity of the generated samples, each number with its floor."""
        real, generated = _tokens(subject.real, "real"), _tokens(subject.generated, "generated")
        n = min(len(real), len(generated))
        real, generated = real[rng.permutation(len(real))[:n]], generated[rng.permutation(len(generated))[:n]]
        diversity, floor = of_itself(generated), of_itself(real)
        diversity["self_bleu"] = mean_self_bleu(generated[: self.bleu_samples])
        floor["self_bleu"] = Estimate(float(self_bleu(real[: self.bleu_samples]).mean()))
        known, other = real[: n // 2], real[n // 2 :][: n // 2]
        rare = rare_tokens(known, self.rare)
        if len(rare):
            diversity["rare_token_recall"] = _recalled(rare, generated[: n // 2])
            floor["rare_token_recall"] = _recalled(rare, other)
        return diversity | {f"{name}_floor": Estimate(estimate.value) for name, estimate in floor.items()}


def of_itself(tokens: TokenRows) -> dict[str, Estimate]:
    """Return every number that needs no other set of samples, except self-BLEU.

    Args:
        tokens: Samples of 4 tokens or more, (n, length).
    """
    estimates = {}
    for order in ORDERS:
        grams = ngrams(tokens, order)
        added = unique_to_sample(grams).sum(1)
        estimates[f"distinct_{order}"] = _around(distinct(grams), added / grams.shape[1], 1.0)
        if order == 1:
            estimates["vocabulary"] = _around(int(grams.max()) + 1, added * len(tokens))
    repeated = repetition(grams)
    bits, without = unigram_entropy(tokens)
    return {
        **estimates,
        "repetition": _around(float(repeated.mean()), repeated, 1.0),
        "unigram_entropy": _around(bits, (1 - len(tokens)) * without),
    }


def _recalled(kinds: Int[np.ndarray, " k"], tokens: TokenRows) -> Estimate:
    value, falls = recall(kinds, tokens)
    return _around(value, falls * len(tokens), 1.0)


def _around(value: float, added: Float[np.ndarray, " n"], high: float = math.inf) -> Estimate:
    """Return `value` ± 1.96 s/√n, where s is the spread of n times what the value loses without each sample."""
    half = Z * float(added.std(ddof=1)) / math.sqrt(len(added))
    return Estimate(value, max(0.0, value - half), min(high, value + half))


def _tokens(samples: Samples, which: str) -> TokenRows:
    data = samples.data
    if data.ndim != 2 or data.is_floating_point():
        raise UserError(
            f"probes=[text_diversity] needs samples that are rows of tokens; the {which} ones are "
            f"{tuple(data.shape[1:])} of {data.dtype}. Leave it out of probes=[…], or give a data set of text"
        )
    _need_rows(len(data), data.shape[1], which)
    return data.cpu().numpy().astype(np.int64)


def _need_rows(number: int, length: int, which: str) -> None:
    if number < 4 or length < max(ORDERS):
        raise UserError(
            f"probes=[text_diversity] needs at least 4 samples of at least {max(ORDERS)} tokens; there are "
            f"{number} {which} ones of {length}"
        )
