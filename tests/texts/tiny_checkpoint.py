"""A tiny language model with its tokenizer, in a folder as `save_pretrained` writes it."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from collapse_lab.texts.tokenizer import Tokenizer


def write_checkpoint(folder: Path, own: Tokenizer, positions: int = 96, width: int = 16) -> Path:
    """Write a model of random weights, the same ones each time, and return its folder."""
    config = LlamaConfig(
        vocab_size=own.size,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=positions,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        LlamaForCausalLM(config).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=own.backend, eos_token=own.tokens.end).save_pretrained(folder)
    return folder
