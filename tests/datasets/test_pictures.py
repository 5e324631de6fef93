"""The prompt set of pictures: which training rows samples start from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from collapse_lab.engine.keys import digest_of_conditions
from collapse_lab.engine.view import View
from collapse_lab.errors import UserError
from collapse_lab.prompts import Pictures
from collapse_lab.types import Captions, Rows, Samples, Spec

SPEC = Spec("image", (1, 2, 2), ("man", "woman"), ("a man", "a woman"))
LABELS = np.array([0, 0, 1, 0, 1, 0, 0])


def train() -> Samples:
    data = torch.arange(28, dtype=torch.uint8).view(7, 1, 2, 2)
    texts = [f"a {SPEC.classes[label]}" for label in LABELS]
    return Samples(data, LABELS, Captions.of(texts))


def test_labels_take_turns_and_so_do_their_pictures() -> None:
    made = Pictures().conditions(9, train(), SPEC)
    numbers = [0, 2, 1, 4, 3, 2, 5, 4, 6]  # of the women there are two, whose pictures come again
    assert Pictures().rows(9, LABELS).tolist() == numbers
    assert made.labels.tolist() == [0, 1] * 4 + [0]
    assert made.captions.texts() == ["a man", "a woman"] * 4 + ["a man"]
    assert made.context is not None
    assert torch.equal(made.context[:], train().data[numbers])


def test_rows_without_labels_are_one_group() -> None:
    assert Pictures().rows(5, np.full(3, -1)).tolist() == [0, 1, 2, 0, 1]


def test_the_digest_depends_on_the_pictures() -> None:
    made = Pictures().conditions(4, train(), SPEC)
    other = Samples(255 - train().data, LABELS, train().captions)
    assert digest_of_conditions(made) != digest_of_conditions(Pictures().conditions(4, other, SPEC))


def test_no_picture_is_read_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    data = train()
    view = Samples[Rows](View.of(data.data), data.labels, data.captions)
    with monkeypatch.context() as patch:
        patch.setattr(View, "__getitem__", lambda *_: pytest.fail("a picture was read"))
        made = Pictures().conditions(9, view, SPEC)
        part = made.take(np.array([8, 0, 0]))
    assert made.context is not None
    assert part.context is not None
    assert torch.equal(made.context[:], data.data[[0, 2, 1, 4, 3, 2, 5, 4, 6]])
    assert torch.equal(part.context[:], data.data[[6, 0, 0]])
    assert digest_of_conditions(made) == digest_of_conditions(Pictures().conditions(9, data, SPEC))


def test_other_data_and_no_samples_are_refused() -> None:
    with pytest.raises(UserError, match="needs a data set of images, not one of tokens"):
        Pictures().conditions(2, train(), Spec("tokens", (8,), (), ()))
    with pytest.raises(UserError, match="raise n_samples"):
        Pictures().conditions(0, train(), SPEC)
