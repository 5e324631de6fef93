"""How much variety generated text has left."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from collapse_lab.errors import UserError
from collapse_lab.metrics.intervals import Z
from collapse_lab.metrics.ngrams import distinct, ngrams, only_here, repetition
from collapse_lab.metrics.self_bleu import ORDERS, mean_self_bleu, self_bleu
from collapse_lab.metrics.vocabulary import rare_tokens, recall, unigram_entropy
from collapse_lab.types import Estimate, Samples, Subject

Rows = Int[np.ndarray, "n length"]


class TextDiversity:
    """Of n generated samples, n the smaller of their number and that of held-out real rows:

    distinct_1 … distinct_4: distinct n-grams / n-grams, over all samples together (arXiv:1510.03055).
    vocabulary: distinct tokens.  unigram_entropy: of their histogram, in bits.
    repetition: mean share of a sample's 4-grams that it had before (arXiv:1908.04319).
    self_bleu: mean BLEU-4 of a sample against the others, of at most `bleu_samples` (arXiv:1802.01886).
    rare_token_recall: share of the rare tokens of n/2 real rows that n/2 generated samples have too; rare is a token
        of which there are at most `rare` of all, or a single one. Left out where no token is rare.

    Tokens are the model's, not words. All of these depend on n; so each has its `_floor`, the same number of as many
    held-out real rows (for the recall, of the other half of them). Which rows are taken is the same in every
    generation.

    Intervals are over samples, from what each of them adds to a number, or from what is left without it (a jackknife):
    a bootstrap repeats samples, and takes that for lost variety. They are of what is expected at this n, and too wide
    rather than too narrow (Efron and Stein, Annals of Statistics 9, 1981).

    Raises: UserError for samples that are no tokens or fewer than 4, for fewer than 4 rows, and bad arguments.
    """

    version: ClassVar[int] = 1

    def __init__(self, bleu_samples: int = 500, rare: float = 1e-4) -> None:
        if bleu_samples < 2:
            raise UserError(f"probes.text_diversity.bleu_samples is 2 or more; got {bleu_samples}")
        if not 0 <= rare < 1:
            raise UserError(f"probes.text_diversity.rare is a share, from 0 to below 1; got {rare}")
        self.bleu_samples, self.rare = bleu_samples, rare

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Mapping[str, Estimate]:
        real, generated = _tokens(subject.real, "real"), _tokens(subject.generated, "generated")
        n = min(len(real), len(generated))
        real, generated = real[rng.permutation(len(real))[:n]], generated[rng.permutation(len(generated))[:n]]
        found, floor = of_itself(generated), of_itself(real)
        found["self_bleu"] = mean_self_bleu(generated[: self.bleu_samples])
        floor["self_bleu"] = Estimate(float(self_bleu(real[: self.bleu_samples]).mean()))
        known, other = real[: n // 2], real[n // 2 :][: n // 2]
        rare = rare_tokens(known, self.rare)
        if len(rare):
            found["rare_token_recall"] = _recalled(rare, generated[: n // 2])
            floor["rare_token_recall"] = _recalled(rare, other)
        return found | {f"{name}_floor": Estimate(each.value) for name, each in floor.items()}


def of_itself(tokens: Rows) -> dict[str, Estimate]:
    """What takes no other set of samples, self-BLEU aside."""
    found = {}
    for order in ORDERS:
        grams = ngrams(tokens, order)
        added = only_here(grams).sum(1)
        found[f"distinct_{order}"] = _around(distinct(grams), added / grams.shape[1], 1.0)
        if order == 1:
            found["vocabulary"] = _around(int(grams.max()) + 1, added * len(tokens))
    before = repetition(grams)
    bits, without = unigram_entropy(tokens)
    return {
        **found,
        "repetition": _around(float(before.mean()), before, 1.0),
        "unigram_entropy": _around(bits, (1 - len(tokens)) * without),
    }


def _recalled(kinds: Int[np.ndarray, " k"], tokens: Rows) -> Estimate:
    value, falls = recall(kinds, tokens)
    return _around(value, falls * len(tokens), 1.0)


def _around(value: float, added: Float[np.ndarray, " n"], high: float = math.inf) -> Estimate:
    """`value` ± 1.96 s/√n, s the spread of what samples add to it: n times what it loses without them."""
    half = Z * float(added.std(ddof=1)) / math.sqrt(len(added))
    return Estimate(value, max(0.0, value - half), min(high, value + half))


def _tokens(samples: Samples, which: str) -> Rows:
    data = samples.data
    if data.ndim != 2 or data.is_floating_point():
        raise UserError(
            f"probes=[text_diversity] needs samples that are rows of tokens; the {which} ones are "
            f"{tuple(data.shape[1:])} of {data.dtype}. Leave it out of probes=[…], or give a data set of text"
        )
    if len(data) < 4 or data.shape[1] < max(ORDERS):
        raise UserError(
            f"probes=[text_diversity] needs 4 samples of {max(ORDERS)} tokens, or more of either; there are "
            f"{len(data)} {which} ones of {data.shape[1]}"
        )
    return data.cpu().numpy().astype(np.int64)
