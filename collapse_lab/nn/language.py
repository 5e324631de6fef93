"""Causal language models of transformers: small ones from scratch, and pretrained ones."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import nn
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, OPTConfig

from collapse_lab.errors import UserError, check_choice
from collapse_lab.quiet import quiet
from collapse_lab.texts.checkpoints import checkpoint
from collapse_lab.texts.tokenizer import tokenizer
from collapse_lab.types import Tokens

Architecture = Literal["gpt2", "opt", "llama"]


def from_scratch(
    architecture: str, vocabulary: int, positions: int, width: int, layers: int, heads: int, dropout: float
) -> nn.Module:
    """A network of `layers` blocks with `heads` heads, states of size `width` and room for `positions` tokens.

    Raises:
        UserError: an unknown architecture, and sizes that it cannot have.
    """
    check_choice("model.architecture", architecture, get_args(Architecture))
    if min(width, layers, heads) < 1 or width % heads or (architecture == "llama" and width // heads % 2):
        raise UserError(
            f"model.width is model.heads times the size of a head, which is even for llama; got width={width}, "
            f"heads={heads}, layers={layers}"
        )
    if not 0 <= dropout < 1:
        raise UserError(f"model.dropout lies in [0, 1); got {dropout}")
    # No token has a meaning of its own to the network: blocks have no padding
    shared = {"vocab_size": vocabulary, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    sizes = {"num_hidden_layers": layers, "num_attention_heads": heads, "max_position_embeddings": positions}
    config: Any
    match architecture:
        case "gpt2":
            gpt2_sizes = {"n_embd": width, "n_layer": layers, "n_head": heads, "n_positions": positions}
            config = GPT2Config(**shared, **gpt2_sizes, resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=dropout)
        case "opt":
            widths = {"hidden_size": width, "word_embed_proj_dim": width, "ffn_dim": 4 * width}
            config = OPTConfig(**shared, **sizes, **widths, dropout=dropout, attention_dropout=dropout)
        case _:
            widths = {"hidden_size": width, "intermediate_size": 8 * width // 3}
            config = LlamaConfig(**shared, **sizes, **widths, attention_dropout=dropout, tie_word_embeddings=True)
    net: nn.Module = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    return net


def pretrained_for(tokens: Tokens, name: str, root: str) -> nn.Module:
    """The network of `checkpoint(name)` in float32, for a data set of those tokens.

    Raises:
        UserError: the checkpoint cannot be read, or has another tokenizer.
    """
    size, identity = _vocabulary(name, root)
    if identity != tokens.identity:
        raise UserError(
            f"the data set's tokenizer ({tokens.size} tokens) is not that of model.pretrained={name} ({size}), to "
            f"which the same numbers are other words: give dataset.tokenizer={name}"
        )
    try:
        with quiet():
            net: nn.Module = AutoModelForCausalLM.from_pretrained(
                checkpoint(name, root),
                dtype=torch.float32,
                attn_implementation="sdpa",
                cache_dir=Path(root).expanduser() / "hub",
            )
    except (OSError, ValueError) as error:
        raise UserError(
            f"model.pretrained={name} cannot be read ({error}): give a folder that save_pretrained wrote, or check the "
            "name and the network"
        ) from error
    return net


@cache
def _vocabulary(name: str, root: str) -> tuple[int, str]:
    """Size and identity of a checkpoint's tokenizer, which takes a second to read."""
    found = tokenizer(name, 0, (), root)
    return found.size, found.identity
