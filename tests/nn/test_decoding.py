"""Continuations against transformers' own generation and against their definition."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PretrainedConfig,
)

from collapse_lab.errors import Diverged
from collapse_lab.nn.decoding import CHUNK, beam_search, draw, largest
from tests.generated import generated

VOCABULARY, BEFORE, LENGTH = 700, 9, 12
MARKS: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
SIZES: dict[str, Any] = {"vocab_size": VOCABULARY, "num_hidden_layers": 2, "num_attention_heads": 4}
CONFIGS: dict[str, tuple[Any, PretrainedConfig]] = {
    "gpt2": (GPT2LMHeadModel, GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, **MARKS)),
    "opt": (OPTForCausalLM, OPTConfig(hidden_size=32, word_embed_proj_dim=32, ffn_dim=64, **SIZES, **MARKS)),
    # As in SmolLM2, keys have fewer heads than queries
    "llama": (
        LlamaForCausalLM,
        LlamaConfig(hidden_size=32, intermediate_size=64, num_key_value_heads=2, **SIZES, **MARKS),
    ),
}


def network(name: str) -> Any:
    family, config = CONFIGS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = family(config).eval()
        for weight in net.parameters():
            weight.data *= 5 if weight.ndim > 1 else 1  # because beams of a nearly uniform distribution are ties
    return net


def contexts(n: int = 6) -> torch.Tensor:
    return torch.randint(0, VOCABULARY, (n, BEFORE), generator=torch.Generator().manual_seed(1))


def nothing() -> None:
    pass


@pytest.mark.parametrize("penalty", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("beams", [2, 5])
@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_a_beam_search_equals_that_of_transformers(name: str, beams: int, penalty: float) -> None:
    net, context = network(name), contexts()
    theirs = generated(net, context, LENGTH, beams, penalty)
    ours = beam_search(net, context, LENGTH, beams, penalty, nothing)
    assert torch.equal(ours, theirs[:, BEFORE:])


@torch.no_grad()
def test_a_search_with_one_beam_is_greedy() -> None:
    net, text = network("llama"), contexts()
    continued = beam_search(net, text, LENGTH, 1, 1.0, nothing)
    for _ in range(LENGTH):
        text = torch.cat([text, net(text).logits[:, -1].argmax(-1, keepdim=True)], dim=1)
    assert torch.equal(continued, text[:, BEFORE:])


@torch.no_grad()
def test_a_wider_search_finds_more_probable_continuations() -> None:
    net, context = network("gpt2"), contexts(16)

    def score(beams: int) -> float:
        text = torch.cat([context, beam_search(net, context, LENGTH, beams, 1.0, nothing)], dim=1)
        steps = net(text).logits[:, BEFORE - 1 : -1].log_softmax(-1).gather(-1, text[:, BEFORE:, None])
        return float(steps.sum(1).mean())

    assert score(1) < score(5) < score(20)


@torch.no_grad()
def test_a_search_reports_every_token() -> None:
    reports: list[int] = []
    beam_search(network("opt"), contexts(), LENGTH, 3, 1.0, lambda: reports.append(1))
    assert len(reports) == LENGTH


@torch.no_grad()
def test_drawn_tokens_follow_the_distribution() -> None:
    net, n = network("llama"), 20_000
    context = contexts(1).expand(n, -1)
    uniform = torch.rand(n, 1, generator=torch.Generator().manual_seed(2))
    drawn = draw(net, context, uniform, 0.7, 1.0, 1.0, nothing)
    shares = torch.bincount(drawn[:, 0], minlength=VOCABULARY) / n
    exact = (net(contexts(1)).logits[0, -1] / 0.7).softmax(-1)
    error = (exact * (1 - exact) / n).sqrt()
    assert ((shares - exact).abs() <= 5 * error + 1 / n).all()


@torch.no_grad()
def test_the_nucleus_is_the_smallest_set_of_its_mass() -> None:
    net, context = network("gpt2"), contexts(1)
    uniform = torch.linspace(0, 0.999999, 4000)[:, None]
    drawn = set(draw(net, context.expand(4000, -1), uniform, 1.0, 0.5, 1.0, nothing)[:, 0].tolist())
    mass, order = net(context).logits[0, -1].softmax(-1).sort(descending=True)
    size = int((mass.cumsum(0) < 0.5).sum()) + 1
    assert drawn == set(order[:size].tolist())


@torch.no_grad()
def test_later_tokens_are_drawn_given_the_earlier_ones() -> None:
    net, context = network("opt"), contexts()
    uniform = torch.rand(len(context), LENGTH, generator=torch.Generator().manual_seed(3))
    text = context
    for t in range(LENGTH):
        mass = net(text).logits[:, -1].softmax(-1).cumsum(-1)
        token = (mass < uniform[:, t, None]).sum(-1, keepdim=True)
        # The end of a token's interval is rounded differently by other kernels, so draw the token at the middle
        ends = torch.nn.functional.pad(mass, (1, 0))
        uniform[:, t] = (ends.gather(1, token) + ends.gather(1, token + 1))[:, 0] / 2
        text = torch.cat([text, token], dim=1)
    assert torch.equal(draw(net, context, uniform, 1.0, 1.0, 1.0, nothing), text[:, BEFORE:])


@torch.no_grad()
def test_logits_that_are_not_finite_are_a_divergence() -> None:
    net = network("gpt2")
    net.transformer.ln_f.weight.fill_(torch.nan)
    with pytest.raises(Diverged):
        beam_search(net, contexts(), LENGTH, 2, 1.0, nothing)


@pytest.mark.parametrize("n", [3, CHUNK, 5 * CHUNK, 40 * CHUNK + 17, 40 * CHUNK])
def test_the_largest_values_and_their_places_are_those_of_topk(n: int) -> None:
    values = torch.randn(4, 3, n, generator=torch.Generator().manual_seed(n))
    k = min(n, 5)
    best, place = largest(values, k)
    expected = values.topk(k)
    assert torch.equal(best, expected.values)
    assert torch.equal(place, expected.indices)
