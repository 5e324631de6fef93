"""Number the n-grams of many samples of one length, and count the distinct ones."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from collapse_lab.errors import UserError


def ngrams(tokens: Int[np.ndarray, "n length"], order: int) -> Int[np.ndarray, "n m"]:
    """Return a number for each n-gram of each sample, m = length - order + 1; equal n-grams have equal numbers.

    The numbers run from 0. An n-gram never runs from one sample into the next. Before a token is added, the shorter
    n-grams are numbered anew, so the numbers of any vocabulary fit into int64.

    Args:
        tokens: samples of token ids.
        order: how many tokens an n-gram has, 1 or more.

    Raises:
        UserError: no samples, or samples shorter than `order`.
    """
    n, length = tokens.shape
    if not n or length < order:
        raise UserError(f"{order}-grams need one sample or more of {order} tokens or more; got {n} of {length}")
    single = renumbered(tokens)
    grams = single
    for shift in range(1, order):
        grams = renumbered(grams[:, :-1] * (int(single.max()) + 1) + single[:, shift:])
    return grams


def renumbered(values: Int[np.ndarray, "n m"]) -> Int[np.ndarray, "n m"]:
    """Return the rank of each value among the distinct values, from 0."""
    return np.unique(values, return_inverse=True)[1].reshape(values.shape).astype(np.int64)


def distinct(grams: Int[np.ndarray, "n m"]) -> float:
    """Return distinct-n = distinct n-grams / n-grams, over all samples together.

    It falls with the number of samples, so compare only values of one n.

    Args:
        grams: what `ngrams` returns.

    Returns:
        A share in (0, 1].

    Source: Li et al., arXiv:1510.03055.
    """
    return (int(grams.max()) + 1) / grams.size


def unique_to_sample(grams: Int[np.ndarray, "n m"]) -> Int[np.ndarray, "n m"]:
    """Return 1 at the first place of each n-gram that no other sample has, else 0.

    The sum over a row is by how much the number of distinct n-grams falls when this sample is left out.

    Args:
        grams: what `ngrams` returns.
    """
    n, m = grams.shape
    flat, places = grams.ravel(), np.arange(grams.size)
    first, last = np.empty((2, int(grams.max()) + 1), np.int64)
    # NumPy keeps the last value that is assigned to an index, so the reversed order gives the first place
    first[flat[::-1]], last[flat] = places[::-1], places
    marks = np.zeros(grams.size, np.int64)
    marks[first[first // m == last // m]] = 1
    return marks.reshape(n, m)


def repetition(grams: Int[np.ndarray, "n m"]) -> Float[np.ndarray, " n"]:
    """Return for each sample the share of its n-grams that occurred in it before: 1 - distinct n-grams / m.

    Args:
        grams: what `ngrams` returns.

    Returns:
        Shares (n,) in [0, 1 - 1/m].

    Source: seq-rep-n of Welleck et al., arXiv:1908.04319.
    """
    repeated = np.diff(np.sort(grams, axis=1), axis=1) == 0
    return np.asarray(repeated.sum(1) / grams.shape[1])
