"""Measure which tokens samples consist of, and how evenly."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import xlogy

from collapse_lab.metrics.ngrams import ngrams, renumbered, unique_to_sample


def unigram_entropy(tokens: Int[np.ndarray, "n length"]) -> tuple[float, Float[np.ndarray, " n"]]:
    """Return -sum_k p_k log2 p_k in bits, and the same without each sample; p_k = c_k / N is the share of token k.

    The entropy is too low by about (K - 1) / (2 N ln 2) bits for K kinds of tokens (Miller and Madow). At one N this
    bias is much the same for all samples; it is 0.1 bits where each kind occurs seven times on average.

    Args:
        tokens: samples of token ids.

    Returns:
        Bits in [0, log2 N], of all samples and of all samples but one (n,).

    Raises:
        UserError: no samples.
    """
    ids = ngrams(tokens, 1)
    n, length = ids.shape
    counts = np.bincount(ids.ravel())
    total = float(xlogy(counts, counts).sum())
    keys, in_sample = np.unique(ids * n + np.arange(n)[:, None], return_counts=True)
    kind, sample = np.divmod(keys, n)
    left = counts[kind] - in_sample
    without = total + np.bincount(sample, xlogy(left, left) - xlogy(counts, counts)[kind], n)
    rest = max(ids.size - length, 1)
    entropies = (math.log(rest) - without / rest) / math.log(2)
    return (math.log(ids.size) - total / ids.size) / math.log(2), entropies


def rare_tokens(tokens: Int[np.ndarray, "n length"], share: float) -> Int[np.ndarray, " k"]:
    """Return the tokens that occur at most max(1, share · N) times among all N, in rising order.

    Args:
        tokens: samples of token ids.
        share: the greatest share of a rare token.
    """
    kinds, counts = np.unique(tokens, return_counts=True)
    return np.asarray(kinds[counts <= max(1.0, share * tokens.size)])


def recall(kinds: Int[np.ndarray, " k"], tokens: Int[np.ndarray, "n length"]) -> tuple[float, Float[np.ndarray, " n"]]:
    """Return the share of `kinds` that occur among the tokens, and by how much it falls without each sample.

    It rises with n.

    Args:
        kinds: token ids, without repetition, one or more.
        tokens: samples of token ids.

    Returns:
        A share in [0, 1], and its falls (n,).
    """
    rare: Bool[np.ndarray, "n length"] = np.isin(tokens, kinds)
    falls = (unique_to_sample(renumbered(tokens)) * rare).sum(1) / len(kinds)
    return len(np.unique(tokens[rare])) / len(kinds), falls
