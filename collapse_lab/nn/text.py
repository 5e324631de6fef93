"""Prompts as tokens, and tokens as embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from torch import Tensor, nn

from collapse_lab.errors import UserError

PAD, UNKNOWN, START = "[PAD]", "[UNK]", "[START]"


class WordTokenizer:
    """Turn prompts into numbers of words.

    Words and punctuation marks, in lower case, are numbered in alphabetical order after the three special tokens.
    Every sequence begins with [START], so the empty prompt, which stands for "no condition", is a sequence too. A word
    that is in no caption becomes [UNK].

    Args:
        captions: The texts whose words are the vocabulary.

    Attributes:
        size: The number of tokens, the special ones included.
        length: The length of every sequence: 1 for [START], and the number of words of the longest caption.
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
        """Return the tokens (n, length) of n texts, padded or cut to the length of the longest caption."""
        tokens = torch.zeros(len(texts), self.length, dtype=torch.int64)
        tokens[:, 0] = 2
        for row, text in enumerate(texts):
            ids = self._tokenizer.encode(text).ids[: self.length - 1]
            tokens[row, 1 : 1 + len(ids)] = torch.tensor(ids, dtype=torch.int64)
        return tokens

    def count(self, text: str) -> int:
        """Return how many tokens a text has, [START] included."""
        return 1 + len(self._tokenizer.encode(text).ids)

    def serialised(self) -> str:
        """Return the words as JSON of the library `tokenizers`, without [START], padding and cutting."""
        text: str = self._tokenizer.to_str()
        return text


class TextEncoder(nn.Module):
    """Turn tokens (n, length) into states (n, length, width) by a pre-norm transformer.

    Its input is the sum of the embeddings of words and positions. Padding is masked out of the attention.

    Args:
        vocabulary: The number of tokens.
        length: The length of every sequence.
        width: The size of a state; `heads` divides it.
        layers: The number of transformer layers.
        heads: The number of attention heads of a layer.

    Raises:
        UserError: `heads` does not divide `width`.
    """

    def __init__(self, vocabulary: int, length: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise UserError(
                f"model.text_heads {heads} does not divide model.text_width {width}; give model.text_width="
                f"{heads * (width // heads + 1)}, or another number of heads"
            )
        self.words = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(0.02 * torch.randn(length, width))
        block = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Int[Tensor, "n length"]) -> Float[Tensor, "n length width"]:
        """Return the states (n, length, width) of tokens (n, length)."""
        states: Tensor = self.words(tokens) + self.positions
        encoded: Tensor = self.norm(self.blocks(states, src_key_padding_mask=tokens == 0))
        return encoded
