"""Continuations of many texts at a time by a causal language model: beam search, greedy, or drawn at random.

Texts have one length and no padding, and so do their continuations: no token ends a text.
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

CHUNK = 128


def beam_search(
    model: nn.Module,
    context: Int[Tensor, "n before"],
    length: int,
    beams: int,
    repetition_penalty: float,
    advance: Callable[[], None],
) -> Int[Tensor, "n length"]:
    """The most probable continuation among those that a search of width `beams` comes by; 1 is greedy.

    Of the `beams`^2 best one-token extensions of the beams of a text, as many as there are beams live on, by
    sum_t log p(x_t | x_<t). Equal to transformers' beam search without an end-of-text token.

    repetition_penalty: log p of a token that stands in context or continuation is multiplied by it (arXiv:1909.05858,
        sec. 4.1, as transformers applies it to beams); 1 is none.
    advance: called after each token.

    Raises:
        Diverged: a logit is not finite.
    """
    n, before = context.shape
    cache = _cache(model, before + beams * (length - 1))
    found = context.new_empty(n, beams, length)
    lineage = Lineage(n, beams, before, length, context.device)
    logits = _next(model, context, cache)
    scores = logits.new_zeros(n, 1)
    seen = context[:, None]
    for t in range(length):
        best, token = largest(_log_probabilities(logits, seen, repetition_penalty), beams)
        scores, chosen = (scores[..., None] + best).flatten(1).topk(beams)
        parent, token = chosen // beams, token.flatten(1).gather(1, chosen)
        if t > 0:
            found = found.gather(1, parent[..., None].expand_as(found))
        found[..., t] = token
        advance()
        if t + 1 < length:
            places = torch.full_like(token, before + t)
            logits = _next(model, token, cache, attention_mask=lineage.grown(parent, t), position_ids=places)
            seen = torch.cat([context[:, None].expand(n, beams, before), found[..., : t + 1]], dim=2)
    return found[:, 0]


def draw(
    model: nn.Module,
    context: Int[Tensor, "n before"],
    uniform: Float[Tensor, "n length"],
    temperature: float,
    top_p: float,
    repetition_penalty: float,
    advance: Callable[[], None],
) -> Int[Tensor, "n length"]:
    """Each token drawn from p(x_t | x_<t)^(1/temperature), cut to its nucleus of mass `top_p` (arXiv:1904.09751).

    uniform: in [0, 1), turned into tokens by the inverse of the cumulative distribution.
    Raises: Diverged as `beam_search`.
    """
    length = uniform.shape[1]
    shape = LogitsProcessorList()
    if repetition_penalty != 1:
        shape.append(RepetitionPenaltyLogitsProcessor(repetition_penalty))
    if temperature != 1:
        shape.append(TemperatureLogitsWarper(temperature))
    if top_p < 1:
        shape.append(TopPLogitsWarper(top_p))
    cache = _cache(model, context.shape[1] + length)
    text, fresh = context, context
    for t in range(length):
        mass = shape(text, _next(model, fresh, cache)[:, -1]).softmax(-1).cumsum(-1)
        # The last of the cumulated masses is 1 up to rounding, and must not be missed
        fresh = torch.searchsorted(mass, uniform[:, t, None].to(mass) * mass[:, -1:], right=True)
        text = torch.cat([text, fresh], dim=1)
        advance()
    return text[:, context.shape[1] :]


def _next(model: nn.Module, tokens: Int[Tensor, "n t"], cache: Cache, **beams: Tensor) -> Float[Tensor, "n s v"]:
    """Logits of the token after each beam's, or after the last of the tokens where they are one text, (n, 1, v)."""
    out = model(tokens, past_key_values=cache, use_cache=True, logits_to_keep=0 if beams else 1, **beams)
    logits: Tensor = out.logits.float()
    if not logits[..., 0].isfinite().all():  # what is not finite in a text's states is in all of its logits
        raise Diverged("the language model's logits are not finite")
    return logits


def _log_probabilities(
    logits: Float[Tensor, "n beams v"], seen: Int[Tensor, "n beams t"], penalty: float
) -> Float[Tensor, "n beams v"]:
    values = logits.log_softmax(-1)
    # Log-probabilities are negative, so that the product makes a token less likely
    return values if penalty == 1 else values.scatter(-1, seen, values.gather(-1, seen) * penalty)


def largest(values: Float[Tensor, "... n"], k: int) -> tuple[Float[Tensor, "... k"], Int[Tensor, "... k"]]:
    """The k largest of each row and where they stand, as `topk` gives them.

    A row's k largest lie in the k chunks of largest maxima. Maxima are found a chunk at a time by vector instructions,
    for which `topk` over a whole vocabulary, of tens of thousands, has no use on a CPU.
    """
    n = values.shape[-1]
    whole = n // CHUNK * CHUNK
    if whole // CHUNK <= k:
        best, place = values.topk(k)
        return best, place
    chunks = values[..., :whole].reshape(*values.shape[:-1], -1, CHUNK)
    chunk = chunks.amax(-1).topk(k).indices[..., None]
    held = chunks.gather(-2, chunk.expand(*chunk.shape[:-1], CHUNK)).flatten(-2)
    place = (chunk * CHUNK + torch.arange(CHUNK, device=values.device)).flatten(-2)
    rest = torch.arange(whole, n, device=values.device).expand(*place.shape[:-1], -1)
    best, found = torch.cat([held, values[..., whole:]], dim=-1).topk(k)
    return best, torch.cat([place, rest], dim=-1).gather(-1, found)


class Lineage:
    """Who may look at whom. The beams of a text are a tree over its context, and one row of the model holds all of it:
    keys and values stay where they were written, however beams change, and the context's are there once.
    """

    def __init__(self, n: int, beams: int, before: int, length: int, device: torch.device) -> None:
        self._before, self._beams = before, torch.arange(beams, device=device)
        self._seen = torch.zeros(n, beams, before + beams * (length - 1), dtype=torch.bool, device=device)
        self._seen[..., :before] = True

    def grown(self, parent: Int[Tensor, "n beams"], t: int) -> Float[Tensor, "n 1 beams keys"]:
        """What is added to the scores of the keys until now, once each beam's t-th token has followed its parent's."""
        beams = len(self._beams)
        if t > 0:
            self._seen = self._seen.gather(1, parent[..., None].expand_as(self._seen))
        until = self._before + beams * t
        self._seen[:, self._beams, until + self._beams] = True
        seen = self._seen[:, None, :, : until + beams]
        return torch.zeros(seen.shape, device=seen.device).masked_fill(~seen, torch.finfo(torch.float32).min)


class Layer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values, (rows, heads, length, size), in memory that is taken once: transformers' own cache
    copies all of it for each token, and again for each change of beams.
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room, self._used = room, 0

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
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
        return self._used


def _cache(model: nn.Module, room: int) -> Cache:
    config: Any = model.config
    return Cache(layers=[Layer(room) for _ in range(config.num_hidden_layers)])
