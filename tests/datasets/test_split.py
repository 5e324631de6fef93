import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from collapse_lab.datasets.split import stratified
from collapse_lab.errors import UserError


@given(st.lists(st.integers(-1, 4), min_size=2, max_size=120), st.floats(0.05, 0.95), st.integers(0, 9))
def test_every_label_gives_its_share_of_reference_rows(labels: list[int], fraction: float, seed: int) -> None:
    rows = np.array(labels)
    total = round(fraction * len(rows))
    assume(0 < total < len(rows))
    mask = stratified(rows, fraction, seed)
    assert int(mask.sum()) == total
    for label in set(labels):
        assert abs(int(mask[rows == label].sum()) - fraction * int((rows == label).sum())) < 1 + 1e-6
    assert (stratified(rows, fraction, seed) == mask).all()


def test_another_seed_gives_another_split() -> None:
    labels = np.arange(100) % 5
    assert (stratified(labels, 0.3, 0) != stratified(labels, 0.3, 1)).any()


def test_a_split_with_an_empty_side_is_refused() -> None:
    with pytest.raises(UserError, match="0 for reference"):
        stratified(np.zeros(3, np.int64), 0.1, 0)
    with pytest.raises(UserError, match="leaves 0 to train on"):
        stratified(np.zeros(3, np.int64), 0.9, 0)


def test_validation_rows_are_drawn_apart_from_reference_rows_and_the_message_names_them() -> None:
    labels = np.arange(100) % 5
    assert (stratified(labels, 0.3, 0) != stratified(labels, 0.3, 0, "validation")).any()
    with pytest.raises(UserError, match=r"validation_fraction=0\.1 .* 0 for validation"):
        stratified(np.zeros(3, np.int64), 0.1, 0, "validation")
