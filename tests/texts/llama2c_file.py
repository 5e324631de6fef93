"""Write small files in the format of llama2.c, and compute in NumPy what llama2.c computes of them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

ARRAYS = ("embedding", "norm_1", "q", "k", "v", "o", "norm_2", "gate", "down", "up", "norm", "cosines", "sines")


@dataclass(frozen=True)
class Made:
    """Hold a model of random weights: the sizes of the header, and the arrays in the order of the file."""

    sizes: tuple[int, int, int, int, int, int, int]
    arrays: dict[str, np.ndarray]

    def weights(self) -> bytes:
        return struct.pack("<7i", *self.sizes) + b"".join(self.arrays[name].tobytes() for name in ARRAYS)


def made(vocabulary: int, seed: int = 0) -> Made:
    d, hidden, layers, heads, kv_heads, length = 16, 24, 2, 4, 2, 32
    width = d // heads
    kv = width * kv_heads
    shapes = {
        "embedding": (vocabulary, d),
        "norm_1": (layers, d),
        "q": (layers, d, d),
        "k": (layers, kv, d),
        "v": (layers, kv, d),
        "o": (layers, d, d),
        "norm_2": (layers, d),
        "gate": (layers, hidden, d),
        "down": (layers, d, hidden),
        "up": (layers, hidden, d),
        "norm": (d,),
    }
    rng = np.random.default_rng(seed)
    arrays = {name: rng.standard_normal(shape).astype("<f4") for name, shape in shapes.items()}
    angles = np.arange(length)[:, None] * 10000.0 ** (-np.arange(0, width, 2) / width)
    arrays |= {"cosines": np.cos(angles).astype("<f4"), "sines": np.sin(angles).astype("<f4")}
    return Made((d, hidden, layers, heads, kv_heads, vocabulary, length), arrays)


def pieces_of(words: list[tuple[str, float]]) -> bytes:
    """Return the marks and the bytes as llama2.c exports them, then pieces and scores."""
    entries = [(b"<unk>", 0.0), (b"\n<s>\n", 0.0), (b"\n</s>\n", 0.0), *((bytes([i]), 0.0) for i in range(256))]
    entries += [(word.encode(), score) for word, score in words]
    body = b"".join(struct.pack("<fi", score, len(word)) + word for word, score in entries)
    return struct.pack("<i", max(len(word) for word, _ in entries)) + body


def scores_of(raw: bytes) -> dict[str, float]:
    """Return the scores of the pieces after the marks and the bytes, by piece, in the order of the file."""
    start, scores = 4, {}
    for i in range(32000):
        score, length = struct.unpack_from("<fi", raw, start)
        start += 8 + length
        if i >= 259:
            scores[raw[start - length : start].decode().replace(" ", "▁")] = score
    return scores


def logits(model: Made, ids: list[int]) -> np.ndarray:
    """Return the logits as llama2.c computes them, token by token; it rotates pairs (2i, 2i + 1)."""
    d, _, layers, heads, kv_heads, _, _ = model.sizes
    width = d // heads
    w = {name: value.astype(np.float64) for name, value in model.arrays.items()}
    keys: list[list[np.ndarray]] = [[] for _ in range(layers)]
    values: list[list[np.ndarray]] = [[] for _ in range(layers)]
    rows = []
    for t, token in enumerate(ids):
        x = w["embedding"][token]
        for n in range(layers):
            y = _normed(x, w["norm_1"][n])
            q = _turned((w["q"][n] @ y).reshape(heads, width), w["cosines"][t], w["sines"][t])
            keys[n].append(_turned((w["k"][n] @ y).reshape(kv_heads, width), w["cosines"][t], w["sines"][t]))
            values[n].append((w["v"][n] @ y).reshape(kv_heads, width))
            mixed = []
            for h in range(heads):
                group = h * kv_heads // heads
                scores = np.array([q[h] @ key[group] for key in keys[n]]) / np.sqrt(width)
                share = np.exp(scores - scores.max())
                mixed.append((share / share.sum()) @ np.array([value[group] for value in values[n]]))
            x = x + w["o"][n] @ np.concatenate(mixed)
            y = _normed(x, w["norm_2"][n])
            gate = w["gate"][n] @ y
            x = x + w["down"][n] @ (gate / (1 + np.exp(-gate)) * (w["up"][n] @ y))
        rows.append(w["embedding"] @ _normed(x, w["norm"]))
    return np.array(rows)


def merged(text: str, scores: dict[str, float], ids: dict[str, int]) -> list[int]:
    """Return the ids after greedy merging: always the best-scored join of neighbours, of equal ones the leftmost."""
    symbols = list(("▁" + text).replace(" ", "▁")) if text else []
    while True:
        joins = [(scores[a + b], -i) for i, (a, b) in enumerate(pairwise(symbols)) if a + b in scores]
        if not joins:
            break
        left = -max(joins)[1]
        symbols[left : left + 2] = [symbols[left] + symbols[left + 1]]
    tokens: list[int] = []
    for symbol in symbols:
        tokens += [ids[symbol]] if symbol in ids else [3 + byte for byte in symbol.encode()]
    return tokens


def _normed(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return np.asarray(x / np.sqrt(np.mean(x**2) + 1e-5) * weight)


def _turned(rows: np.ndarray, cosines: np.ndarray, sines: np.ndarray) -> np.ndarray:
    even, odd = rows[:, 0::2], rows[:, 1::2]
    turned = np.empty_like(rows)
    turned[:, 0::2] = even * cosines - odd * sines
    turned[:, 1::2] = even * sines + odd * cosines
    return turned
