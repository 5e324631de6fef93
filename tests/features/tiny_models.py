"""Write models with random weights into folders in transformers' format, by its own `save_pretrained`."""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path

import torch
import transformers
from transformers import utils

SIDE = 24
utils.logging.disable_progress_bar()
utils.logging.set_verbosity_error()


def write_clip(folder: Path) -> Path:
    """Write a CLIP of 16 dimensions that spells its captions, and return the folder."""
    letters = [*string.ascii_lowercase, *(f"{letter}</w>" for letter in string.ascii_lowercase)]
    vocabulary = {token: i for i, token in enumerate(["<|startoftext|>", "<|endoftext|>", *letters])}
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.CLIPModel(
            transformers.CLIPConfig(
                projection_dim=16,
                text_config={**size, **ends, "vocab_size": len(vocabulary), "max_position_embeddings": 20},
                vision_config={**size, "image_size": SIDE, "patch_size": 8},
            )
        )
    model.save_pretrained(folder)
    transformers.CLIPTokenizer(vocab=vocabulary, merges=[]).save_pretrained(folder)
    _write_processor(folder)
    return folder


def write_dino(folder: Path, kind: str) -> Path:
    """Write a DINO (kind "ViT") or a DINOv2 (kind "Dinov2") of 32 dimensions, and return the folder.

    A DINO is saved without its pooler, as the published ones are.
    """
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = getattr(transformers, f"{kind}Config")(**size, image_size=SIDE, patch_size=8)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        bare = {"add_pooling_layer": False} if kind == "ViT" else {}
        model = getattr(transformers, f"{kind}Model")(config, **bare)
    model.save_pretrained(folder)
    _write_processor(folder)
    return folder


def write_bert(folder: Path, known: Sequence[str] = ("the", "cat", "dog", "sat", "on", "a", "mat")) -> Path:
    """Write a BERT of 32 dimensions with a vocabulary of a few words, and return the folder."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *known]
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=40,
    )
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = transformers.BertModel(config)
    model.save_pretrained(folder)
    transformers.BertTokenizer(vocab={word: i for i, word in enumerate(words)}).save_pretrained(folder)
    return folder


def _write_processor(folder: Path) -> None:
    transformers.CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    ).save_pretrained(folder)
