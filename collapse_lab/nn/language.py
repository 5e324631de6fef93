"""Causal language models of the transformers library: small ones from scratch, and pretrained ones."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, OPTConfig

from collapse_lab.errors import UserError
from collapse_lab.quiet import quiet
from collapse_lab.texts.checkpoints import checkpoint, need_of
from collapse_lab.texts.tokenizer import need_of_tokenizer, tokenizer
from collapse_lab.types import Need, Tokens

Architecture = Literal["gpt2", "opt", "llama"]


def from_scratch(
    architecture: Architecture, vocabulary: int, positions: int, width: int, layers: int, heads: int, dropout: float
) -> nn.Module:
    """Return a network with fresh weights.

    Args:
        architecture: The architecture.
        vocabulary: The number of tokens.
        positions: The largest number of tokens of a text.
        width: The size of a state.
        layers: The number of transformer layers.
        heads: The number of attention heads of a layer.
        dropout: The share that dropout sets to 0 while training, in [0, 1).

    Raises:
        UserError: `width` is not a multiple of `heads`, or not an even multiple for llama.
    """
    if width % heads or (architecture == "llama" and width // heads % 2):
        raise UserError(
            f"model.width is model.heads times the size of a head, which is even for llama; got width={width}, "
            f"heads={heads}, layers={layers}"
        )
    # Blocks of text have no padding and no end, so no token is special
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
    """Return a pretrained network in float32, for a data set of its tokens.

    Args:
        tokens: The tokens of the data set.
        name: The checkpoint, as `texts.checkpoints.checkpoint` takes it.
        root: The folder in which packages and weights are kept.

    Raises:
        UserError: the checkpoint cannot be read, or has another tokenizer than the data set.
    """
    size, identity = _vocabulary(name, root)
    if identity != tokens.identity:
        raise UserError(
            f"the data set's tokenizer ({tokens.size} tokens) is not the tokenizer of model.pretrained={name} ({size} "
            f"tokens), so the same numbers would be other words; give dataset.tokenizer={name}, or model.read_as=text "
            "to a model, or to the members of a population, that read the data set with a tokenizer of their own"
        )
    return pretrained_weights(name, root)


def needs_of(name: str, root: str) -> list[Need]:
    """Return the weights and the tokenizer of a checkpoint as what a run takes from elsewhere."""
    return [
        need_of(name, root, "weights", lambda local: pretrained_weights(name, root, local)),
        need_of_tokenizer(name, root),
    ]


def pretrained_weights(name: str, root: str, local: bool = False) -> nn.Module:
    """Return a pretrained network in float32, whatever its tokenizer is.

    Args:
        name: The checkpoint, as `texts.checkpoints.checkpoint` takes it.
        root: The folder in which packages and weights are kept.
        local: Whether only what the cache holds may be read.

    Raises:
        UserError: the checkpoint cannot be read.
    """
    try:
        with quiet():
            net: nn.Module = AutoModelForCausalLM.from_pretrained(
                checkpoint(name, root),
                dtype=torch.float32,
                attn_implementation="sdpa",
                cache_dir=Path(root).expanduser() / "hub",
                local_files_only=local,
            )
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())  # because the hub's messages have many lines
        raise UserError(
            f"model.pretrained={name} cannot be read ({reason}); give a folder that save_pretrained wrote, or check "
            "the name and the network connection"
        ) from error
    return net


@cache
def _vocabulary(name: str, root: str) -> tuple[int, str]:
    """Return the size and the identity of a checkpoint's tokenizer; reading one takes a second, so it is cached."""
    tokens = tokenizer(name, 0, (), root)
    return tokens.size, tokens.identity
