"""Prompts to tokens, tokens to embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from torch import Tensor, nn

PAD, UNKNOWN, START = "[PAD]", "[UNK]", "[START]"


class WordTokenizer:
    """Words and punctuation, lower case, numbered in alphabetical order after the three special tokens.

    Every sequence opens with [START], so that the empty prompt, which stands for "no condition", is a sequence too.
    A word outside the captions becomes [UNK].
    """

    def __init__(self, captions: Sequence[str]) -> None:
        split = Whitespace()
        words = sorted({word for text in captions for word, _ in split.pre_tokenize_str(text.lower())})
        vocabulary = {token: i for i, token in enumerate([PAD, UNKNOWN, START, *words])}
        self._tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=UNKNOWN))
        self._tokenizer.normalizer = Lowercase()
        self._tokenizer.pre_tokenizer = split
        self.size = len(vocabulary)
        self.length = 1 + max((len(split.pre_tokenize_str(text)) for text in captions), default=0)

    def __call__(self, texts: Sequence[str]) -> Int[Tensor, "n length"]:
        """Token numbers, padded or cut to the longest caption's length."""
        tokens = torch.zeros(len(texts), self.length, dtype=torch.int64)
        tokens[:, 0] = 2
        for row, text in enumerate(texts):
            ids = self._tokenizer.encode(text).ids[: self.length - 1]
            tokens[row, 1 : 1 + len(ids)] = torch.tensor(ids, dtype=torch.int64)
        return tokens


class TextEncoder(nn.Module):
    """A pre-norm transformer over word and position embeddings: tokens (n, length) to states (n, length, width).

    Padding is masked out of the attention.
    """

    def __init__(self, vocabulary: int, length: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(0.02 * torch.randn(length, width))
        block = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Int[Tensor, "n length"]) -> Float[Tensor, "n length width"]:
        states: Tensor = self.words(tokens) + self.positions
        encoded: Tensor = self.norm(self.blocks(states, src_key_padding_mask=tokens == 0))
        return encoded
