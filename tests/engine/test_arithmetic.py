from __future__ import annotations

import pytest
from torch import backends

from collapse_lab.engine.arithmetic import choose_arithmetic
from collapse_lab.types import Arithmetic


def chosen() -> tuple[str, str, bool, bool]:
    products, convolutions = backends.cuda.matmul.fp32_precision, backends.cudnn.conv.fp32_precision  # type: ignore[attr-defined]
    return products, convolutions, backends.cudnn.deterministic, backends.cudnn.benchmark


@pytest.mark.parametrize(
    ("wanted", "expected"), [("exact", ("ieee", "ieee", True, False)), ("fast", ("tf32", "tf32", False, True))]
)
def test_a_choice_holds_for_products_and_convolutions(
    wanted: Arithmetic, expected: tuple[str, str, bool, bool]
) -> None:
    try:
        choose_arithmetic(wanted)
        assert chosen() == expected
    finally:
        choose_arithmetic()
    assert chosen() == ("ieee", "ieee", True, False)
