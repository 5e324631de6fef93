from __future__ import annotations

import numpy as np
import pytest
import torch

from collapse_lab.errors import UserError
from collapse_lab.prompts import Continuation
from collapse_lab.types import Samples, Spec, Tokens

SPEC = Spec("tokens", (4,), tokens=Tokens(10, "digits", lambda rows: [str(row) for row in rows.tolist()]))
TRAIN = Samples(torch.arange(24).reshape(6, 4) % 10, np.full(6, -1, np.int64))


@pytest.mark.parametrize("n", [1, 4, 6])
def test_the_first_blocks_are_continued_in_order(n: int) -> None:
    conditions = Continuation().bind(SPEC).conditions(n, TRAIN, SPEC)
    assert conditions.context is not None
    assert conditions.context[:].equal(TRAIN.data[:n])
    assert conditions.labels.tolist() == [-1] * n
    assert conditions.captions.table == ()


def test_all_rows_belong_to_the_prompt_set() -> None:
    assert Continuation().member(TRAIN).tolist() == [True] * 6


def test_data_without_tokens_and_too_many_samples_are_refused() -> None:
    with pytest.raises(UserError, match="there are 6 training blocks to continue, and n_samples asks for 7: lower"):
        Continuation().conditions(7, TRAIN, SPEC)
    with pytest.raises(UserError, match="positive number"):
        Continuation().conditions(0, TRAIN, SPEC)
    for spec in (Spec("image", (1, 8, 8)), Spec("points", (1, 2))):
        with pytest.raises(UserError, match=rf"needs a data set of texts, not one of {spec.modality}.*prompts=all"):
            Continuation().bind(spec)
        with pytest.raises(UserError, match="needs a data set of texts"):
            Continuation().conditions(2, TRAIN, spec)
