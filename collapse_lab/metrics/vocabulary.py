"""Which tokens samples are made of, and how evenly."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import xlogy

from collapse_lab.metrics.ngrams import ngrams, only_here, renumbered


def unigram_entropy(tokens: Int[np.ndarray, "n length"]) -> tuple[float, Float[np.ndarray, " n"]]:
    """-sum_k p_k log2 p_k in bits, p_k = c_k / N the share of each kind of token; and the same without each sample.

    Range: [0, log2 N]. It is too low by about (K - 1) / (2 N ln 2) bits of K kinds (Miller and Madow): at one N that
    is much the same for all, and 0.1 bits where each kind occurs seven times on average.
    Raises: UserError for no samples.
    """
    ids = ngrams(tokens, 1)
    n, length = ids.shape
    counts = np.bincount(ids.ravel())
    total = float(xlogy(counts, counts).sum())
    held, here = np.unique(ids * n + np.arange(n)[:, None], return_counts=True)
    kind, sample = np.divmod(held, n)
    left = counts[kind] - here
    without = total + np.bincount(sample, xlogy(left, left) - xlogy(counts, counts)[kind], n)
    rest = max(ids.size - length, 1)
    entropies = (math.log(rest) - without / rest) / math.log(2)
    return (math.log(ids.size) - total / ids.size) / math.log(2), entropies


def rare_tokens(tokens: Int[np.ndarray, "n length"], share: float) -> Int[np.ndarray, " k"]:
    """Those of which there are at most max(1, share · N) among all N, rising."""
    kinds, counts = np.unique(tokens, return_counts=True)
    return np.asarray(kinds[counts <= max(1.0, share * tokens.size)])


def recall(kinds: Int[np.ndarray, " k"], tokens: Int[np.ndarray, "n length"]) -> tuple[float, Float[np.ndarray, " n"]]:
    """The share of `kinds` that occur among the tokens, and by how much it falls with each sample that is left out.

    Range: [0, 1]; it rises with n.
    """
    rare: Bool[np.ndarray, "n length"] = np.isin(tokens, kinds)
    falls = (only_here(renumbered(tokens)) * rare).sum(1) / len(kinds)
    return len(np.unique(tokens[rare])) / len(kinds), falls
