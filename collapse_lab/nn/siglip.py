"""The words and the text encoder of this laboratory as classes of transformers, which give the same states."""

from __future__ import annotations

from typing import Any

from torch import nn

from collapse_lab.nn.text import PAD, START, UNKNOWN, TextEncoder, WordTokenizer


def as_transformers_tokenizer(words: WordTokenizer) -> Any:
    """Return a `PreTrainedTokenizerFast` that gives the tokens of `words`, padded and cut to their length."""
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer.from_str(words.serialised())
    start = backend.token_to_id(START)
    backend.post_processor = TemplateProcessing(single=f"{START} $A", special_tokens=[(START, start)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        unk_token=UNKNOWN,
        bos_token=START,
        model_max_length=words.length,
        split_special_tokens=True,  # because a mark that is spelt out in a prompt is words to us
    )


def as_siglip(encoder: TextEncoder) -> Any:
    """Return a `SiglipTextModel` with the same weights: it too normalises first, and lets words look at later ones.

    Its head, which gives one embedding of the whole prompt, has no counterpart here and is the identity.
    """
    from transformers import SiglipTextConfig, SiglipTextModel

    vocabulary, width = encoder.words.weight.shape
    layers: Any = encoder.blocks.layers
    config = SiglipTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=layers[0].linear1.out_features,
        num_hidden_layers=len(layers),
        num_attention_heads=layers[0].self_attn.num_heads,
        max_position_embeddings=len(encoder.positions),
        hidden_act="gelu",
        layer_norm_eps=encoder.norm.eps,
        projection_size=width,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=None,
    )
    made = SiglipTextModel(config)
    inside: Any = getattr(made, "text_model", made)  # transformers before 5 holds the layers one module deeper
    inside.embeddings.token_embedding.load_state_dict({"weight": encoder.words.weight})
    inside.embeddings.position_embedding.load_state_dict({"weight": encoder.positions})
    inside.final_layer_norm.load_state_dict(encoder.norm.state_dict())
    nn.init.eye_(inside.head.weight)
    nn.init.zeros_(inside.head.bias)
    for ours, theirs in zip(layers, inside.encoder.layers, strict=True):
        attention = ours.self_attn
        weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
        for part, weight, bias in zip(("q_proj", "k_proj", "v_proj"), weights, biases, strict=True):
            getattr(theirs.self_attn, part).load_state_dict({"weight": weight, "bias": bias})
        theirs.self_attn.out_proj.load_state_dict(attention.out_proj.state_dict())
        pairs = {"layer_norm1": ours.norm1, "layer_norm2": ours.norm2}
        for name, layer in (pairs | {"mlp.fc1": ours.linear1, "mlp.fc2": ours.linear2}).items():
            theirs.get_submodule(name).load_state_dict(layer.state_dict())
    return made.eval()
