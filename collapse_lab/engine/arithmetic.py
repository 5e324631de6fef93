"""The arithmetic of a GPU: whether float32 is float32, and whether the same work gives the same bits twice."""

from __future__ import annotations

from collapse_lab.types import Arithmetic


def choose_arithmetic(wanted: Arithmetic = "exact") -> None:
    """Set how GPUs compute in this process from here on; a CPU always computes exactly.

    `exact` multiplies float32 numbers with all their bits and takes kernels that give the same bits each time.
    `fast` rounds the factors of products and convolutions to TF32, which has 10 bits of mantissa, and lets cuDNN try
    which kernel is the fastest. torch itself has neither: its convolutions round to TF32 and its products do not.

    Every piece of work calls this before it computes, because the cells of a pack take turns in one process.

    Args:
        wanted: The arithmetic.
    """
    from torch import backends

    precision = "ieee" if wanted == "exact" else "tf32"
    backends.cuda.matmul.fp32_precision = precision
    backends.cudnn.conv.fp32_precision = precision  # type: ignore[attr-defined]
    backends.cudnn.rnn.fp32_precision = precision  # type: ignore[attr-defined]
    backends.cudnn.deterministic = wanted == "exact"
    backends.cudnn.benchmark = wanted == "fast"
