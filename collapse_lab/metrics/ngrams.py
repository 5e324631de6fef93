"""The n-grams of many samples of one length as numbers, and how many of them are different."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from collapse_lab.errors import UserError


def ngrams(tokens: Int[np.ndarray, "n length"], order: int) -> Int[np.ndarray, "n m"]:
    """A number for each n-gram of each sample, m = length - order + 1: equal ones have equal numbers, from 0 on.

    They never run from one sample into the next. The numbers of the n-grams that are one shorter are counted anew
    before each is joined to the token after it, so that no vocabulary is too large to be packed.

    Raises: UserError for no samples, and for samples shorter than `order`.
    """
    n, length = tokens.shape
    if not n or length < order:
        raise UserError(f"{order}-grams need one sample or more of {order} tokens or more; got {n} of {length}")
    single = renumbered(tokens)
    found = single
    for shift in range(1, order):
        found = renumbered(found[:, :-1] * (int(single.max()) + 1) + single[:, shift:])
    return found


def renumbered(values: Int[np.ndarray, "n m"]) -> Int[np.ndarray, "n m"]:
    """Their ranks among the distinct ones."""
    return np.unique(values, return_inverse=True)[1].reshape(values.shape).astype(np.int64)


def distinct(grams: Int[np.ndarray, "n m"]) -> float:
    """distinct-n = distinct n-grams / n-grams, over all samples together.

    Range: (0, 1]; it falls with the number of samples, so that a value means nothing beside one of another n.
    Source: Li et al., arXiv:1510.03055.
    """
    return (int(grams.max()) + 1) / grams.size


def only_here(grams: Int[np.ndarray, "n m"]) -> Int[np.ndarray, "n m"]:
    """1 where an n-gram is one that no other sample has, at its first place in this one; else 0.

    The sum over a row is by how much the number of distinct ones falls when the sample is left out.
    """
    n, m = grams.shape
    flat, places = grams.ravel(), np.arange(grams.size)
    first, last = np.empty((2, int(grams.max()) + 1), np.int64)
    # Of the values that an index is given, the last one stays
    first[flat[::-1]], last[flat] = places[::-1], places
    found = np.zeros(grams.size, np.int64)
    found[first[first // m == last // m]] = 1
    return found.reshape(n, m)


def repetition(grams: Int[np.ndarray, "n m"]) -> Float[np.ndarray, " n"]:
    """Of each sample the share of its n-grams that it had before: 1 - distinct ones / m.

    Range: [0, 1 - 1/m].
    Source: seq-rep-n of Welleck et al., arXiv:1908.04319.
    """
    repeated = np.diff(np.sort(grams, axis=1), axis=1) == 0
    return np.asarray(repeated.sum(1) / grams.shape[1])
