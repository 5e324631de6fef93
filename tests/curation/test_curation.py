from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from collapse_lab.config.binding import bind
from collapse_lab.curation.histogram import MatchHistogram
from collapse_lab.curation.none import Nothing
from collapse_lab.curation.quality import DropWorst
from collapse_lab.curation.quantiles import Quantiles, match_quantiles
from collapse_lab.curation.sequence import InOrder
from collapse_lab.errors import UserError
from collapse_lab.images import as_uint8
from collapse_lab.types import Captions, Conditions, Samples
from tests.curation.cases import FirstPixel, as_planned, random_conditions, random_samples

RNG = np.random.default_rng(0)
REAL = random_samples(random_conditions(50, 99), 99)


def test_images_that_are_sampled_beside_others_start_from_the_same_pictures() -> None:
    pictures = torch.arange(4, dtype=torch.uint8)[:, None, None, None]
    more = DropWorst(0.5, oversample=True).enlarge(Conditions(np.array([0, 1, 0, 1]), Captions(), pictures))
    assert more.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert more.context is not None
    assert more.context[:].flatten().tolist() == [0, 1, 2, 3, 0, 1]


@given(n=st.integers(0, 60), seed=st.integers(0, 1000), captions=st.integers(0, 3), fraction=st.floats(0, 0.99))
@settings(max_examples=80, deadline=None)
def test_apply_returns_what_was_planned(n: int, seed: int, captions: int, fraction: float) -> None:
    conditions = random_conditions(n, seed, captions=captions if n else 0)
    for step in (
        Nothing(),
        MatchHistogram(),
        DropWorst(fraction),
        InOrder([MatchHistogram(), DropWorst(fraction), DropWorst(0.5)]),
    ):
        kept = step.apply(random_samples(conditions, seed), REAL, FirstPixel(), RNG)
        assert as_planned(kept, step.plan(conditions))
        assert len(kept) == len(kept.labels)


@pytest.mark.parametrize(("fraction", "count", "kept"), [(0.2, 10, 8), (0.29, 100, 71), (0.5, 3, 2), (0.9, 1, 1)])
def test_each_condition_loses_the_floor_of_fraction_times_its_count(fraction: float, count: int, kept: int) -> None:
    conditions = Conditions(np.zeros(count, np.int64), Captions())
    assert len(DropWorst(fraction).plan(conditions)) == kept


@given(n=st.integers(0, 60), seed=st.integers(0, 1000), captions=st.integers(0, 3), fraction=st.floats(0, 0.95))
@settings(max_examples=80, deadline=None)
def test_oversampling_keeps_as_many_of_each_condition_as_are_wanted(
    n: int, seed: int, captions: int, fraction: float
) -> None:
    wanted = random_conditions(n, seed, captions=captions if n else 0)
    dropping = DropWorst(fraction, oversample=True)
    for step in (dropping, InOrder([DropWorst(0.3, oversample=True), MatchHistogram(), dropping])):
        more = step.enlarge(wanted)
        assert more.labels[:n].tolist() == wanted.labels.tolist()
        assert more.captions.texts()[:n] == wanted.captions.texts()
        assert counted(step.plan(more)) == counted(wanted)
        kept = step.apply(random_samples(more, seed), REAL, FirstPixel(), RNG)
        assert as_planned(kept, step.plan(more))


def counted(conditions: Conditions) -> Counter[tuple[int, str]]:
    texts = conditions.captions.texts() or [""] * len(conditions)
    return Counter(zip(conditions.labels.tolist(), texts, strict=True))


@pytest.mark.parametrize(("fraction", "kept", "sampled"), [(0.2, 8, 9), (0.2, 30, 37), (0.5, 2, 3), (0.99, 1, 1)])
def test_no_more_is_sampled_than_is_needed(fraction: float, kept: int, sampled: int) -> None:
    # Of 37, floor(0.2 * 37) = 7 are dropped; of 36 as many, and 29 would be left
    wanted = Conditions(np.zeros(kept, np.int64), Captions())
    assert len(DropWorst(fraction, oversample=True).enlarge(wanted)) == sampled
    assert len(DropWorst(fraction).enlarge(wanted)) == kept


@pytest.mark.parametrize("oversample", [False, True])
def test_a_share_that_drops_no_image_is_refused(oversample: bool) -> None:
    each = Conditions(np.array([0, 0, 0, 1]), Captions.of(["a", "b", "c", "d"]))
    step = DropWorst(0.2, oversample=oversample)
    for curation in (step, InOrder([MatchHistogram(), step])):
        with pytest.raises(UserError, match=r"fraction=0\.2 .* none of the 4 pairs has more than 1, .* no image would"):
            curation.check_conditions(curation.enlarge(each))
    # Of five images of a condition one is dropped
    several = Conditions(np.zeros(5, np.int64), Captions())
    step.check_conditions(several)
    DropWorst(0.0).check_conditions(each)
    InOrder([DropWorst(0.5), step]).check_conditions(Conditions(np.zeros(12, np.int64), Captions()))
    with pytest.raises(UserError, match="none of the 1 pairs has more than 3"):
        InOrder([DropWorst(0.5), step]).check_conditions(several)


def test_a_share_for_which_hundreds_would_be_sampled_is_refused() -> None:
    assert DropWorst(0.995).fraction == 0.995
    with pytest.raises(UserError, match=r"curation\.fraction=0\.995 .* give a fraction of 0\.99 or less"):
        DropWorst(0.995, oversample=True)


def test_the_worst_images_of_each_condition_are_dropped_and_the_order_of_rows_is_kept() -> None:
    conditions = Conditions(np.array([1, 0, 1, 0, 1, 1]), Captions.of(["a", "a", "a", "a", "b", "a"]))
    score = torch.tensor([-1.0, -5.0, -3.0, -1.0, -9.0, -2.0])
    generated = Samples(score[:, None, None, None].expand(-1, 1, 2, 2).clone(), conditions.labels, conditions.captions)
    kept = DropWorst(0.5).apply(generated, REAL, FirstPixel(), RNG)
    assert kept.data[:, 0, 0, 0].tolist() == [-1.0, -2.0, -1.0, -9.0]
    assert kept.labels.tolist() == [1, 1, 0, 1]


def test_bad_input_is_refused() -> None:
    for fraction, reason in (
        (-0.1, r"is in \[0, 1\)"),
        (1.0, r"is in \[0, 1\)"),
        (float("nan"), "takes a finite number"),
    ):
        node = {"_target_": "collapse_lab.curation.quality.DropWorst", "fraction": fraction}
        with pytest.raises(UserError, match=rf"curation\.fraction {reason}; got"):
            bind(node, "curation")
    with pytest.raises(UserError, match="classifier"):
        DropWorst(0.1).apply(REAL, REAL, None, RNG)
    unlabelled = Conditions(np.array([0, -1]), Captions())
    with pytest.raises(UserError, match="label"):
        DropWorst(0.1).plan(unlabelled)
    diverged = Samples(REAL.data * float("nan"), REAL.labels, REAL.captions)
    with pytest.raises(UserError, match="NaN"):
        MatchHistogram().apply(diverged, REAL, None, RNG)
    with pytest.raises(UserError, match="one shape"):
        MatchHistogram().apply(random_samples(random_conditions(3, 1), 1, (1, 5, 5)), REAL, None, RNG)


@pytest.mark.parametrize("sizes", [(400, 400), (400, 1700), (1700, 400)])
def test_matching_makes_the_quantiles_equal(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    values, target = rng.normal(3, 2, sizes[0]), rng.gamma(2, size=sizes[1])
    matched = match_quantiles(values, Quantiles.of_values(target))
    levels = np.linspace(0.05, 0.95, 19)
    spacing = 0.1 if sizes[0] != sizes[1] else 1e-12
    assert np.abs(np.quantile(matched, levels) - np.quantile(target, levels)).max() < spacing
    assert (np.diff(matched[np.argsort(values)]) >= 0).all()


def test_each_channel_gets_the_levels_of_the_real_channel() -> None:
    conditions = random_conditions(200, 1)
    generated, real = random_samples(conditions, 1, (3, 4, 4)), random_samples(conditions, 2, (3, 4, 4))
    real = Samples(real.data * torch.tensor([0.2, 0.5, 0.9])[:, None, None], real.labels, real.captions)
    for pair in ((generated, real), (Samples(as_uint8(generated.data), conditions.labels), real)):
        matched = MatchHistogram().apply(*pair, None, RNG)
        assert matched.data.dtype == pair[0].data.dtype
        goal = real.data if matched.data.is_floating_point() else as_uint8(real.data).float()
        tolerance = 1e-6 if matched.data.is_floating_point() else 2.0  # of 255 levels, rounded on both sides
        for c in range(3):
            levels = matched.data[:, c].float().flatten().sort().values
            assert float((levels - goal[:, c].flatten().sort().values).abs().max()) <= tolerance


def test_each_group_gets_the_levels_of_its_own_real_images() -> None:
    labels = np.array([0, 1, 0, 1])
    generated = Samples(torch.rand(4, 2, 5, 5, generator=torch.Generator().manual_seed(1)), labels)
    real = Samples(torch.rand(4, 2, 5, 5, generator=torch.Generator().manual_seed(2)), labels)
    matched = MatchHistogram("group").apply(generated, real, None, RNG).data
    for label, c in ((0, 0), (0, 1), (1, 0), (1, 1)):
        pair = [data[labels == label, c].flatten().sort().values for data in (matched, real.data)]
        torch.testing.assert_close(*pair, rtol=0, atol=1e-6)


def test_each_image_gets_the_levels_of_one_real_image_of_its_label() -> None:
    labels, drawn = np.array([0, 1, 0, 1, 0]), torch.Generator().manual_seed(3)
    generated = Samples(torch.rand(5, 1, 6, 6, generator=drawn), labels)
    real = Samples(torch.rand(4, 1, 6, 6, generator=drawn), np.array([1, 0, 0, 1]))
    matched = MatchHistogram("image").apply(generated, real, None, np.random.default_rng(4)).data.numpy()
    used = []
    for row, label in enumerate(labels):
        goals = np.flatnonzero(real.labels == label)
        ranks = generated.data[row, 0].flatten().argsort().argsort()
        theirs = [real.data[goal, 0].flatten().sort().values[ranks].numpy() for goal in goals]
        gaps = [float(np.abs(matched[row, 0].ravel() - other).max()) for other in theirs]
        assert min(gaps) < 1e-6
        used.append(int(goals[np.argmin(gaps)]))
    # Each of the two real images of a label is taken once before one comes again
    assert ({used[0], used[2]}, {used[1], used[3]}) == ({1, 2}, {0, 3})
    assert used[4] in (1, 2)


def test_a_label_without_real_images_is_refused_unless_all_images_share_a_map() -> None:
    generated, real = Samples(torch.rand(1, 1, 2, 2), np.array([7])), Samples(torch.rand(1, 1, 2, 2), np.array([0]))
    with pytest.raises(UserError, match="of label 7 to real ones of this label, and there are none"):
        MatchHistogram("group").apply(generated, real, None, RNG)


def test_matching_a_set_to_itself_changes_nothing() -> None:
    levels = Samples(as_uint8(REAL.data), REAL.labels, REAL.captions)
    matched = MatchHistogram().apply(levels, levels, None, RNG)
    assert int((matched.data.int() - levels.data.int()).abs().max()) <= 1


def test_matching_is_deterministic_and_constant_images_stay_constant() -> None:
    constant = Samples(torch.full((5, 1, 4, 4), 0.3), np.zeros(5, np.int64))
    first, second = (MatchHistogram().apply(constant, REAL, None, np.random.default_rng(s)) for s in (1, 2))
    assert torch.equal(first.data, second.data)
    assert float(first.data.min()) == float(first.data.max())


def test_a_sequence_needs_a_classifier_when_one_of_its_steps_does() -> None:
    assert not InOrder([Nothing(), MatchHistogram()]).needs_classifier
    assert InOrder([Nothing(), DropWorst(0.1)]).needs_classifier


def test_a_sequence_changes_samples_when_one_of_its_steps_does() -> None:
    assert not InOrder([Nothing(), Nothing()]).changes_samples
    assert InOrder([Nothing(), MatchHistogram()]).changes_samples
