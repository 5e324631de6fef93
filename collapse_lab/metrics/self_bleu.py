"""How well each sample is covered by the n-grams of the others."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int
from scipy.special import stdtrit

from collapse_lab.errors import UserError
from collapse_lab.metrics.ngrams import ngrams
from collapse_lab.types import Estimate

ORDERS = (1, 2, 3, 4)
SMALLEST = 0.1  # matches that an order without any counts as, as in the code of Zhu et al.
GROUPS = 20


def self_bleu(tokens: Int[np.ndarray, "n length"]) -> Float[np.ndarray, " n"]:
    """BLEU-4 of each sample against all others, (prod_k p_k)^(1/4).

    p_k: the share of its k-grams that are matched, each at most as often as in the other sample that has most of it.
        Without a match of order k it is 0.1 / number of k-grams; without a single token that matches BLEU is 0.
    Samples are of one length, so that there is no penalty for brevity. All of them are counted at once: of every
    k-gram only the two samples that have most of it matter.

    Range: [0, 1]; 1 where every sample has a copy. It rises with n.
    Raises: UserError for fewer than 2 samples, and for samples shorter than 4 tokens.
    Source: Zhu et al., arXiv:1802.01886, with their smoothing (method 1 of Chen and Cherry, 2014); BLEU
    of Papineni et al. (2002).
    """
    if len(tokens) < 2:
        raise UserError(f"self-BLEU compares a sample with others, and takes 2 or more; got {len(tokens)}")
    matches = np.stack([_matches(ngrams(tokens, order)) for order in ORDERS])
    places = tokens.shape[1] + 1 - np.asarray(ORDERS)
    logs = np.log(np.maximum(matches, SMALLEST) / places[:, None]).mean(0)
    return np.where(matches[0] > 0, np.exp(logs), 0.0)


def _matches(grams: Int[np.ndarray, "n m"]) -> Int[np.ndarray, " n"]:
    """Of each sample the number of its n-grams that some other sample has too, clipped to how often that has them."""
    n = len(grams)
    held, counts = np.unique(grams * n + np.arange(n)[:, None], return_counts=True)
    gram, sample = np.divmod(held, n)
    rising = np.lexsort((counts, gram))
    gram, sample, counts = gram[rising], sample[rising], counts[rising]
    last = np.flatnonzero(np.append(gram[1:] != gram[:-1], True))
    rivals = np.repeat(counts[last], np.diff(last, prepend=-1))
    # The one that has most of a k-gram is measured by the second, where there is one
    second = np.append(0, counts)[last] * (np.append(-1, gram)[last] == gram[last])
    rivals[last] = second
    return np.bincount(sample, np.minimum(counts, rivals), n).astype(np.int64)


def mean_self_bleu(tokens: Int[np.ndarray, "n length"]) -> Estimate:
    """The mean T of self_bleu, times exp(± t · sqrt((G - 1)/G sum_g (log T_g - mean log T)²)), T_g that without one of
    G = 20 groups.

    Every sample is a reference to the others, so that the spread between samples says too little; and a bootstrap
    makes copies, of which each has a BLEU of 1. All T_g are of one number of samples, whose bias they share. On the
    scale of the logarithm, as BLEU is a geometric mean; no interval where one of them is 0.
    """
    found = float(self_bleu(tokens).mean())
    groups = min(GROUPS, len(tokens) // 2)
    if groups < 2:
        return Estimate(found)
    group = np.arange(len(tokens)) % groups
    without = np.asarray([self_bleu(tokens[group != g]).mean() for g in range(groups)])
    if not without.all():
        return Estimate(found)
    half = float(stdtrit(groups - 1, 0.975)) * math.sqrt((groups - 1) * float(np.log(without).var()))
    return Estimate(found, found * math.exp(-half), min(1.0, found * math.exp(half)))
