import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from collapse_lab.datasets.captions import fill, vocabulary_of
from collapse_lab.datasets.digits import WORDS, Digits
from collapse_lab.errors import UserError
from collapse_lab.prompts import Everything, HeldOut, Labels, Prompts, Words
from collapse_lab.types import Captions, Conditions, Samples, Spec

CLASSES = ("cat", "dog", "sea bird")
TEMPLATES = ("a photo of {a}", "{a} at night", "a drawing of {a}")
SPEC = Spec("image", (1, 2, 2), CLASSES, vocabulary_of(TEMPLATES, CLASSES))


def samples(labels: list[int], captions: bool = True) -> Samples:
    texts = [fill(TEMPLATES[i % 3], CLASSES[label]) for i, label in enumerate(labels)]
    table = Captions.of(texts) if captions else Captions()
    return Samples(torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8), np.array(labels, np.int64), table)


TRAIN = samples([0, 0, 0, 1, 1, 1, 2, 2, 2])


def spread(values: list[object], among: int) -> int:
    counts = [values.count(value) for value in set(values)]
    return max(counts) - (min(counts) if len(counts) == among else 0)


@given(
    st.sampled_from([Everything(), Labels([0, "sea bird"]), Words(["photo", "night"]), HeldOut(0.5, "in", 3)]),
    st.integers(1, 60),
)
def test_every_prefix_is_balanced_and_fixed(prompts: Prompts, n: int) -> None:
    longest, prefix = prompts.conditions(60, TRAIN, SPEC), prompts.conditions(n, TRAIN, SPEC)
    assert prefix.labels.tolist() == longest.labels[:n].tolist()
    assert prefix.captions.texts() == longest.captions.texts()[:n]
    assert spread(list(prefix.labels.tolist()), len(set(longest.labels.tolist()))) <= 1
    rows = list(zip(longest.labels.tolist(), longest.captions.texts(), strict=True))
    for label in set(prefix.labels.tolist()):
        texts: list[object] = [text for other, text in rows[:n] if other == label]
        assert spread(texts, len({text for other, text in rows if other == label})) <= 1


@pytest.mark.parametrize("prompts", [Everything(), Labels([1]), Words(["night"]), HeldOut(0.5, "out", 1)])
def test_conditions_belong_to_their_prompt_set(prompts: Prompts) -> None:
    conditions = prompts.conditions(30, TRAIN, SPEC)
    rows = Samples(torch.zeros(30, 1), conditions.labels, conditions.captions)
    assert prompts.member(rows).all()
    for label, text in zip(conditions.labels, conditions.captions.texts(), strict=True):
        assert CLASSES[label] in text


def test_labels_are_given_by_word_or_by_number() -> None:
    assert Labels(["dog", 2]).bind(SPEC).member(TRAIN).tolist() == [False] * 3 + [True] * 6
    with pytest.raises(UserError, match="did you mean 'dog'"):
        Labels(["dogs"]).bind(SPEC)
    with pytest.raises(UserError, match="from 0 to 2, got 3"):
        Labels([3]).conditions(4, TRAIN, SPEC)
    with pytest.raises(UserError, match="needs a data set with classes"):
        Labels(["dog"]).member(TRAIN)
    with pytest.raises(UserError, match="at least one label"):
        Labels([])


def test_a_label_that_is_not_trained_on_takes_its_prompts_from_the_vocabulary() -> None:
    conditions = Labels(["cat", "dog"]).conditions(12, samples([0, 0, 0]), SPEC)
    assert conditions.labels.tolist() == [0, 1] * 6
    dogs = {text for label, text in zip(conditions.labels, conditions.captions.texts(), strict=True) if label == 1}
    assert dogs == {fill(template, "dog") for template in TEMPLATES}


def test_labels_take_turns_without_captions() -> None:
    train = samples([0, 1, 2], captions=False)
    conditions = Everything().conditions(7, train, Spec("image", (1, 2, 2), CLASSES))
    assert conditions.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert conditions.captions.table == ()
    assert not Words(["cat"]).member(train).any()
    with pytest.raises(UserError, match="matches no training row"):
        Words(["cat"]).conditions(4, train, Spec("image", (1, 2, 2), CLASSES))


def test_captions_take_turns_without_labels() -> None:
    train = Samples(torch.zeros(4, 1), np.full(4, -1), Captions.of(["a", "b", "c", "a"]))
    conditions = Everything().conditions(6, train, Spec("image", (1,), (), ("a", "b", "c")))
    assert conditions.labels.tolist() == [-1] * 6
    assert sorted(conditions.captions.texts()) == ["a", "a", "b", "b", "c", "c"]
    with pytest.raises(UserError, match="has no labels"):
        Labels([0]).conditions(2, train, Spec("image", (1,)))


def test_only_whole_words_count() -> None:
    rows = Samples(torch.zeros(3, 1), np.full(3, -1), Captions.of(["a Bird flies", "birdcage", "two cats"]))
    assert Words(["bird"]).member(rows).tolist() == [True, False, False]
    assert Words(["bird"], without=True).member(rows).tolist() == [False, True, True]
    with pytest.raises(UserError, match="at least one word"):
        Words("bird")


def test_every_caption_is_on_exactly_one_side_of_held_out() -> None:
    texts = [f"caption {i}" for i in range(2000)]
    rows = Samples(torch.zeros(2000, 1), np.full(2000, -1), Captions.of(texts))
    inside, outside = HeldOut(0.2, "in").member(rows), HeldOut(0.2, "out").member(rows)
    assert (inside != outside).all()
    assert abs(outside.mean() - 0.2) < 0.04
    subset = np.arange(0, 2000, 7)
    assert (HeldOut(0.2, "out").member(rows.take(subset)) == outside[subset]).all()
    assert (HeldOut(0.2, "out", seed=1).member(rows) != outside).any()


def test_held_out_captions_are_prompts_that_no_training_row_has() -> None:
    held = HeldOut(0.4, "out", seed=2)
    train = TRAIN.take(np.flatnonzero(~held.member(TRAIN)))
    conditions = held.conditions(20, train, SPEC)
    assert not set(conditions.captions.texts()) & set(train.captions.texts())
    assert all(CLASSES[k] in t for k, t in zip(conditions.labels, conditions.captions.texts(), strict=True))


@pytest.mark.parametrize("prompts", [Everything(), Labels([0])])
def test_zero_samples_are_refused(prompts: Prompts) -> None:
    with pytest.raises(UserError, match="positive number"):
        prompts.conditions(0, TRAIN, SPEC)


def test_a_fraction_of_held_out_out_of_range_is_refused() -> None:
    with pytest.raises(UserError, match="strictly between"):
        HeldOut(1.0, "out")


def test_prompts_for_digits_use_every_template() -> None:
    data = Digits(reference_fraction=0.3, templates=["a handwritten {}", "the digit {}"])
    conditions: Conditions = Everything().conditions(20, data.load().train, data.spec)
    assert set(conditions.captions.texts()) == set(data.spec.vocabulary)
    assert all(WORDS[k] in t for k, t in zip(conditions.labels, conditions.captions.texts(), strict=True))
