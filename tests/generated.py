"""Continuations as transformers makes them, the alternative that a user would pick."""

from __future__ import annotations

from typing import Any

import torch


def generated(net: Any, context: torch.Tensor, length: int, beams: int, penalty: float = 1.0) -> torch.Tensor:
    """(n, before + length): the context and what `beams` find to follow it; no token ends a text."""
    found: torch.Tensor = net.generate(
        context,
        attention_mask=torch.ones_like(context),
        num_beams=beams,
        do_sample=False,
        min_new_tokens=length,
        max_new_tokens=length,
        repetition_penalty=penalty,
        eos_token_id=None,
        pad_token_id=0,
    )
    return found
