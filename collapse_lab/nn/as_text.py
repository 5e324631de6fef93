"""Rows of one tokenizer for a language model of another one: the two share texts, not tokens."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import takewhile

import torch
from jaxtyping import Int
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.texts.tokenizer import Tokenizer, from_serialised
from collapse_lab.types import Tokens

NO_TOKEN = -100  # what `torch.nn.functional.cross_entropy` leaves out
MOST = 4  # own tokens for a token of the data set; a tokenizer of bytes has as many for one of words
MORE = 1.25  # own tokens of a continuation for those of its context; what turns out too short is drawn longer

Continue = Callable[[Tensor, Tensor, int], Tensor]  # contexts (n, m), the contexts' numbers (n,), tokens to write


class AsText:
    """Turn blocks of a data set into the tokens of another tokenizer, and continuations back into blocks.

    A block is decoded to the text of each document in it, and each text is encoded anew. Marks between documents stay
    marks. A character whose bytes two blocks share reads U+FFFD in both.

    Args:
        tokens: The tokens of the data set.
        own: The tokenizer of the language model.
        block: The length of a block.
        positions: The number of positions of the language model; None where it has no limit. Longer texts lose their
            end in training and their beginning as a context.

    Raises:
        UserError: the tokenizer of the data set cannot encode texts.
    """

    def __init__(self, tokens: Tokens, own: Tokenizer, block: int, positions: int | None) -> None:
        if tokens.serialised is None or tokens.end is None:
            raise UserError(
                "model.read_as=text writes continuations in the data set's tokens, and this data set has no tokenizer "
                "that encodes texts, with a mark between documents; give model.read_as=tokens and weights with its "
                "tokenizer"
            )
        self.own, self._data, self._block = own, from_serialised(tokens.serialised(), tokens.end), block
        self._longest = positions  # a slice up to None is the whole row
        self.most = MOST * block if positions is None else min(MOST * block, positions // 2)

    def read(self, blocks: Int[Tensor, "n length"]) -> Int[Tensor, "n longest"]:
        """Return blocks as rows of own tokens; shorter rows end with `NO_TOKEN`."""
        rows = [row[: self._longest] for row in self._encoded(blocks)]
        padded = torch.full((len(rows), max(2, *map(len, rows))), NO_TOKEN)
        for place, row in enumerate(rows):
            padded[place, : len(row)] = torch.tensor(row, dtype=torch.int64)
        return padded

    def continued(
        self, contexts: Int[Tensor, "n length"], write: Continue, advance: Callable[[int], None]
    ) -> Int[Tensor, "n length"]:
        """Return the block that follows each context.

        Contexts with equally many own tokens are continued together, so that no row needs padding. A continuation that
        gives no full block is written anew with twice as many tokens. Where even `MOST` own tokens for each token of
        the block give none, marks between documents fill it.

        Args:
            contexts: Blocks of the data set.
            write: Returns own tokens that continue contexts of one length.
            advance: Called with the number of tokens of each block that is complete.
        """
        rows = [row[-self.most :] or [self.own.end] for row in self._encoded(contexts)]
        blocks = torch.full((len(rows), self._block), self._data.end)
        waiting = {place: min(math.ceil(MORE * len(row)), self.most) for place, row in enumerate(rows)}
        while waiting:
            length, wanted = min((len(rows[place]), wanted) for place, wanted in waiting.items())
            places = [place for place, number in waiting.items() if (len(rows[place]), number) == (length, wanted)]
            written = write(torch.tensor([rows[place] for place in places]), torch.tensor(places), wanted)
            for place, new in zip(places, written.tolist(), strict=True):
                block = self._following(rows[place], new)[: self._block]
                if len(block) == self._block or wanted == self.most:
                    blocks[place, : len(block)] = torch.tensor(block, dtype=torch.int64)
                    del waiting[place]
                    advance(self._block)
                else:
                    waiting[place] = min(2 * wanted, self.most)
        return blocks

    def _encoded(self, blocks: Tensor) -> list[list[int]]:
        """Return blocks of the data set in own tokens."""
        return [self.own.joined(documents) for documents in self._data.documents(blocks.tolist())]

    def _following(self, context: list[int], new: list[int]) -> list[int]:
        """Return in the data set's tokens what own tokens add to a context.

        Both are decoded together, because a word that a tokenizer decodes alone loses the space before it.
        """
        before, after = self.own.documents([context, context + new])
        grown = after[len(before) - 1]
        same = takewhile(lambda pair: pair[0] == pair[1], zip(before[-1], grown, strict=False))
        return self._data.joined([grown[len(list(same)) :], *after[len(before) :]])
