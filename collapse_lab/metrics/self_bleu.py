"""Measure how well the n-grams of the other samples cover each sample (self-BLEU)."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int
from scipy.special import stdtrit

from collapse_lab.errors import UserError
from collapse_lab.metrics.ngrams import ngrams
from collapse_lab.types import Estimate

ORDERS = (1, 2, 3, 4)
SMALLEST = 0.1  # an order without any match counts as so many matches, as in the code of Zhu et al.
GROUPS = 20  # the most groups of samples that the jackknife leaves out in turn


def self_bleu(tokens: Int[np.ndarray, "n length"]) -> Float[np.ndarray, " n"]:
    """Return BLEU-4 of each sample against all others, (prod_k p_k)^(1/4).

    p_k is the share of the sample's k-grams that are matched. Each k-gram is matched at most as often as it occurs in
    the other sample that has most of it. Without a match of order k, p_k is 0.1 / number of k-grams. Without a single
    token that matches, BLEU is 0.

    Samples have one length, so there is no penalty for brevity. All samples are counted at once: of every k-gram only
    the two samples that have most of it matter. The value rises with n.

    Args:
        tokens: samples of token ids, 2 or more, of 4 tokens or more.

    Returns:
        BLEU (n,) in [0, 1]; 1 where every sample has a copy.

    Raises:
        UserError: fewer than 2 samples, or samples shorter than 4 tokens.

    Source: Zhu et al., arXiv:1802.01886, with their smoothing (method 1 of Chen and Cherry, 2014); BLEU of Papineni
    et al. (2002).
    """
    if len(tokens) < 2:
        raise UserError(f"self-BLEU compares a sample with others, and takes 2 or more; got {len(tokens)}")
    matches = np.stack([_matches(ngrams(tokens, order)) for order in ORDERS])
    places = tokens.shape[1] + 1 - np.asarray(ORDERS)
    logs = np.log(np.maximum(matches, SMALLEST) / places[:, None]).mean(0)
    return np.where(matches[0] > 0, np.exp(logs), 0.0)


def _matches(grams: Int[np.ndarray, "n m"]) -> Int[np.ndarray, " n"]:
    """Return how many n-grams of each sample some other sample has too, each at most as often as that sample has it."""
    n = len(grams)
    keys, counts = np.unique(grams * n + np.arange(n)[:, None], return_counts=True)
    gram, sample = np.divmod(keys, n)
    rising = np.lexsort((counts, gram))
    gram, sample, counts = gram[rising], sample[rising], counts[rising]
    last = np.flatnonzero(np.append(gram[1:] != gram[:-1], True))
    rivals = np.repeat(counts[last], np.diff(last, prepend=-1))
    # The sample that has most of a k-gram is compared with the second, where there is a second
    second = np.append(0, counts)[last] * (np.append(-1, gram)[last] == gram[last])
    rivals[last] = second
    return np.bincount(sample, np.minimum(counts, rivals), n).astype(np.int64)


def mean_self_bleu(tokens: Int[np.ndarray, "n length"]) -> Estimate:
    """Return the mean T of self_bleu, times exp(± t · sqrt((G - 1)/G sum_g (log T_g - mean log T)²)).

    T_g is the mean without one of G = 20 groups of samples, and t the 97.5 % quantile of Student's distribution with
    G - 1 degrees of freedom. Every sample is a reference to the others, so the spread between samples is too small.
    A bootstrap would make copies, each of which has a BLEU of 1. All T_g are of one number of samples, so they share
    one bias. The scale is the logarithm, because BLEU is a geometric mean.

    Args:
        tokens: samples of token ids, 2 or more, of 4 tokens or more.

    Returns:
        A mean in [0, 1]; without an interval where one T_g is 0, or where there are fewer than 4 samples.

    Raises:
        UserError: as `self_bleu`.
    """
    value = float(self_bleu(tokens).mean())
    groups = min(GROUPS, len(tokens) // 2)
    if groups < 2:
        return Estimate(value)
    group = np.arange(len(tokens)) % groups
    without = np.asarray([self_bleu(tokens[group != g]).mean() for g in range(groups)])
    if not without.all():
        return Estimate(value)
    half = float(stdtrit(groups - 1, 0.975)) * math.sqrt((groups - 1) * float(np.log(without).var()))
    return Estimate(value, value * math.exp(-half), min(1.0, value * math.exp(half)))
