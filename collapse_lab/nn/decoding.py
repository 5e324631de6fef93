"""Continuations of many texts at a time by a causal language model: by beam search, greedy, or drawn at random.

All texts have the same length and no padding, and so have their continuations. No token ends a text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import Cache
from transformers.cache_utils import DynamicLayer
from transformers.generation.logits_process import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from collapse_lab.errors import Diverged

CHUNK = 128  # values whose maximum `largest` takes at a time


def beam_search(
    model: nn.Module,
    context: Int[Tensor, "n before"],
    length: int,
    beams: int,
    repetition_penalty: float,
    advance: Callable[[], None],
) -> Int[Tensor, "n length"]:
    """Return the most probable continuation of each text that a beam search finds.

    Each step extends every beam of a text by its `beams` best tokens. Of these `beams`^2 extensions the `beams` best by
    sum_t log p(x_t | x_<t) become the beams of the next step. The result equals that of transformers' beam search
    without an end-of-text token.

    Args:
        model: A causal language model of transformers.
        context: The tokens (n, before) of the texts to continue.
        length: The number of tokens of a continuation.
        beams: The width of the search; 1 is greedy.
        repetition_penalty: log p of a token that stands in context or continuation is multiplied by this number
            (arXiv:1909.05858, sec. 4.1, as transformers applies it to beams); 1 is no penalty.
        advance: Called after each token.

    Returns:
        The tokens (n, length) of the continuations.

    Raises:
        Diverged: a logit is not finite.
    """
    n, before = context.shape
    cache = _cache(model, before + beams * (length - 1))
    written = context.new_empty(n, beams, length)
    tree = BeamTree(n, beams, before, length, context.device)
    logits = _next(model, context, cache)
    scores = logits.new_zeros(n, 1)
    seen = context[:, None]
    for t in range(length):
        best, token = largest(_log_probabilities(logits, seen, repetition_penalty), beams)
        scores, chosen = (scores[..., None] + best).flatten(1).topk(beams)
        parent, token = chosen // beams, token.flatten(1).gather(1, chosen)
        if t > 0:
            written = written.gather(1, parent[..., None].expand_as(written))
        written[..., t] = token
        advance()
        if t + 1 < length:
            places = torch.full_like(token, before + t)
            logits = _next(model, token, cache, attention_mask=tree.grow(parent, t), position_ids=places)
            seen = torch.cat([context[:, None].expand(n, beams, before), written[..., : t + 1]], dim=2)
    return written[:, 0]


def draw(
    model: nn.Module,
    context: Int[Tensor, "n before"],
    uniform: Float[Tensor, "n length"],
    temperature: float,
    top_p: float,
    repetition_penalty: float,
    advance: Callable[[], None],
) -> Int[Tensor, "n length"]:
    """Return continuations whose tokens are drawn from p(x_t | x_<t)^(1/temperature), cut to its nucleus.

    The nucleus is the smallest set of tokens that holds the mass `top_p` (arXiv:1904.09751).

    Args:
        model: A causal language model of transformers.
        context: The tokens (n, before) of the texts to continue.
        uniform: Uniform numbers (n, length) in [0, 1). The inverse of the cumulative distribution turns each into a
            token.
        temperature: The temperature, above 0.
        top_p: The mass of the nucleus, in (0, 1].
        repetition_penalty: How much less likely a token becomes that was there before, as transformers applies it to
            the logits (arXiv:1909.05858, sec. 4.1); 1 is no penalty.
        advance: Called after each token.

    Returns:
        The tokens (n, length) of the continuations.

    Raises:
        Diverged: a logit is not finite.
    """
    length = uniform.shape[1]
    reshape = LogitsProcessorList()
    if repetition_penalty != 1:
        reshape.append(RepetitionPenaltyLogitsProcessor(repetition_penalty))
    if temperature != 1:
        reshape.append(TemperatureLogitsWarper(temperature))
    if top_p < 1:
        reshape.append(TopPLogitsWarper(top_p))
    cache = _cache(model, context.shape[1] + length)
    text, fresh = context, context
    for t in range(length):
        mass = reshape(text, _next(model, fresh, cache)[:, -1]).softmax(-1).cumsum(-1)
        # The last cumulated mass is 1 only up to rounding, so scale the uniform numbers to stay below it
        fresh = torch.searchsorted(mass, uniform[:, t, None].to(mass) * mass[:, -1:], right=True)
        text = torch.cat([text, fresh], dim=1)
        advance()
    return text[:, context.shape[1] :]


def _next(model: nn.Module, tokens: Int[Tensor, "n t"], cache: Cache, **beams: Tensor) -> Float[Tensor, "n s v"]:
    """Return the logits of the token after each beam's token (n, s, v), or, without beams, after a text (n, 1, v)."""
    out = model(tokens, past_key_values=cache, use_cache=True, logits_to_keep=0 if beams else 1, **beams)
    logits: Tensor = out.logits.float()
    # A state that is not finite makes all logits of its text not finite, so look at the first logit only
    if not logits[..., 0].isfinite().all():
        raise Diverged("the language model's logits are not finite")
    return logits


def _log_probabilities(
    logits: Float[Tensor, "n beams v"], seen: Int[Tensor, "n beams t"], penalty: float
) -> Float[Tensor, "n beams v"]:
    values = logits.log_softmax(-1)
    # Log-probabilities are negative, so the product makes a token less likely
    return values if penalty == 1 else values.scatter(-1, seen, values.gather(-1, seen) * penalty)


def largest(values: Float[Tensor, "... n"], k: int) -> tuple[Float[Tensor, "... k"], Int[Tensor, "... k"]]:
    """Return the k largest values of each row and their places, as `topk` returns them.

    The k largest values of a row lie in the k chunks with the largest maxima. Vector instructions find the maxima a
    chunk at a time. On a CPU `topk` over a whole vocabulary, of tens of thousands, makes no use of them.

    Args:
        values: Rows of values (…, n).
        k: How many values to return of each row.

    Returns:
        The values (…, k), in descending order, and their places (…, k) in the row.
    """
    n = values.shape[-1]
    in_chunks = n // CHUNK * CHUNK
    if in_chunks // CHUNK <= k:
        best, place = values.topk(k)
        return best, place
    chunks = values[..., :in_chunks].reshape(*values.shape[:-1], -1, CHUNK)
    chunk = chunks.amax(-1).topk(k).indices[..., None]
    held = chunks.gather(-2, chunk.expand(*chunk.shape[:-1], CHUNK)).flatten(-2)
    place = (chunk * CHUNK + torch.arange(CHUNK, device=values.device)).flatten(-2)
    rest = torch.arange(in_chunks, n, device=values.device).expand(*place.shape[:-1], -1)
    best, index = torch.cat([held, values[..., in_chunks:]], dim=-1).topk(k)
    return best, torch.cat([place, rest], dim=-1).gather(-1, index)


class BeamTree:
    """Hold which earlier tokens each beam may attend to.

    The beams of a text form a tree over its context, and one row of the model holds the whole tree. Keys and values
    stay where they were written, however the beams change, and the context's keys and values are there once.

    Args:
        n: The number of texts.
        beams: The number of beams of a text.
        before: The length of the context.
        length: The length of the continuation.
        device: Where the mask lies.
    """

    def __init__(self, n: int, beams: int, before: int, length: int, device: torch.device) -> None:
        self._before, self._beams = before, torch.arange(beams, device=device)
        self._seen = torch.zeros(n, beams, before + beams * (length - 1), dtype=torch.bool, device=device)
        self._seen[..., :before] = True

    def grow(self, parent: Int[Tensor, "n beams"], t: int) -> Float[Tensor, "n 1 beams keys"]:
        """Add the t-th token of each beam after its parent's token, and return the attention mask.

        Args:
            parent: The number (n, beams) of the beam that each beam continues.
            t: The place of the new tokens in the continuation.

        Returns:
            What is added to the attention scores (n, 1, beams, keys): 0 where a beam may look, and the lowest float32
            where it may not.
        """
        beams = len(self._beams)
        if t > 0:
            self._seen = self._seen.gather(1, parent[..., None].expand_as(self._seen))
        until = self._before + beams * t
        self._seen[:, self._beams, until + self._beams] = True
        seen = self._seen[:, None, :, : until + beams]
        return torch.zeros(seen.shape, device=seen.device).masked_fill(~seen, torch.finfo(torch.float32).min)


class Layer(DynamicLayer):  # type: ignore[misc]
    """Hold one layer's keys and values, (rows, heads, length, size), in memory that is allocated once.

    Transformers' own cache copies all keys and values for each token, and again for each change of beams.

    Args:
        room: The largest length.
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room, self._used = room, 0

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append keys and values, and return all keys and all values until now."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            shape = (*key_states.shape[:2], self._room, key_states.shape[-1])
            self.keys, self.values = key_states.new_empty(shape), value_states.new_empty(shape)
        grown = self._used + key_states.shape[-2]
        self.keys[..., self._used : grown, :] = key_states
        self.values[..., self._used : grown, :] = value_states
        self._used = grown
        return self.keys[..., :grown, :], self.values[..., :grown, :]

    def get_seq_length(self) -> int:
        """Return the length until now."""
        return self._used


def _cache(model: nn.Module, room: int) -> Cache:
    config: Any = model.config
    return Cache(layers=[Layer(room) for _ in range(config.num_hidden_layers)])
