"""Runs whose fits choose their weights by images: judged in a feature space of the run, keyed by it, refused early."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel

from collapse_lab import compose, prepare
from collapse_lab.engine.extractors import Extractors
from collapse_lab.engine.loop import Loop
from collapse_lab.engine.plan import Generations
from collapse_lab.engine.run import Layout
from collapse_lab.engine.silent import Silent
from collapse_lab.errors import UserError
from collapse_lab.models.looking import Look
from collapse_lab.storage.ledger import Ledger
from collapse_lab.types import Samples

TINY = [
    "+experiment=feedback",
    "+scale=tiny",
    "generations=1",
    "n_train=40",
    "n_samples=40",
    "metrics=[fid]",
    "sinks=[]",
]
TINY += [
    "model.channels=[8]",
    "model.attention=[false]",
    "model.attention_head_dim=8",
    "model.sampler.steps=3",
    "features=[classifier,pixels]",
]
TINY += ["features.classifier.steps=5", "trainer.steps=9", "trainer.batch_size=8"]
CHOOSING = ["dataset.validation_fraction=0.1", "model.selection.every=4", "model.selection.features=classifier"]


def laid_out(folder: Path, *overrides: str) -> Layout:
    return prepare(compose(*TINY, *overrides, f"paths.runs={folder}", "device=cpu")).layout


def run(folder: Path, *overrides: str) -> Layout:
    layout = laid_out(folder, *overrides)
    layout.lab.store.open()
    ledger = Ledger(folder / "ledger.jsonl")
    assert Loop(layout.lab, layout.work, layout.ruler, ledger, [], folder).run(layout.plan) == "ok"
    return layout


def keys(plan: Generations) -> list[str]:
    return [step.fit.key for steps in plan for step in steps]


def by_scikit_learn(x: torch.Tensor, y: torch.Tensor) -> float:
    """Return the unbiased squared discrepancy under a cubic kernel, with the kernel of another library."""

    def mean(a: torch.Tensor, b: torch.Tensor) -> float:
        kernel = polynomial_kernel(a.double().numpy(), b.double().numpy(), degree=3, coef0=1)
        if a is b:
            return float((kernel.sum() - kernel.trace()) / (len(a) * (len(a) - 1)))
        return float(kernel.mean())

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


def test_the_looks_of_a_run_are_kept_with_the_weights_and_are_the_kid_of_the_images_that_were_sampled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Samples] = []
    loss = Look.loss

    def watched(look: Look) -> float:
        judge = look._judge

        def judged(images: Samples) -> float:
            seen.append(images)
            return judge(images)

        look._judge = judged
        value = loss(look)
        look._judge = judge
        return value

    monkeypatch.setattr(Look, "loss", watched)
    layout = run(tmp_path, *CHOOSING)
    kept = [step.fit.value().meta["validation"] for steps in layout.plan for step in steps]
    assert [[step for step, _ in looks] for looks in kept] == [[4, 8, 9], [4, 8, 9]]
    validation = layout.lab.validation
    assert [len(images) for images in seen] == 6 * [len(validation)]
    extractor = Extractors(layout.lab, Silent()).get("classifier")
    real, *generated = (extractor.extract(images).values for images in (validation, *seen))
    expected = [by_scikit_learn(features, real) for features in generated]
    assert [value for looks in kept for _, value in looks] == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_the_validation_rows_are_in_no_training_set_and_in_no_measurement(tmp_path: Path) -> None:
    real = laid_out(tmp_path, *CHOOSING).lab.real
    plain = laid_out(tmp_path).lab.real
    assert real.validation is not None
    assert len(real.train) + len(real.validation) == len(plain.train)
    assert torch.equal(real.reference.data[:], plain.reference.data[:])
    taken = [{row.numpy().tobytes() for row in part.data[:]} for part in (real.validation, real.train, real.reference)]
    assert not taken[0] & (taken[1] | taken[2])


def test_a_fit_that_looks_is_keyed_by_all_that_its_images_are_judged_by(tmp_path: Path) -> None:
    apart = "dataset.validation_fraction=0.1"
    plain = keys(laid_out(tmp_path, apart).plan)
    assert keys(laid_out(tmp_path, apart, "model.guidance_scale=1", "features.classifier.steps=6").plan)[0] == plain[0]
    lines: list[list[str]] = [
        CHOOSING,
        [*CHOOSING, "model.selection.every=5"],
        [*CHOOSING, "model.selection.images=9"],
        [*CHOOSING, "model.selection.steps=2"],
        [*CHOOSING, "model.guidance_scale=1"],
        [*CHOOSING, "features.classifier.steps=6"],
        [*CHOOSING, "model.selection.features=pixels"],
        [*CHOOSING, "model.selection.features=pixels", "features.pixels.size=4"],
        [*CHOOSING, "dataset.validation_fraction=0.2"],
    ]
    firsts = [keys(laid_out(tmp_path, *line).plan)[0] for line in lines]
    assert len({plain[0], *firsts}) == len(lines) + 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            CHOOSING[1:],
            r"the data set has none; give dataset\.validation_fraction=0\.1, .* model\.selection\.every=null",
        ),
        (
            [*CHOOSING, "model.selection.features=clip"],
            r"has none of this name; give features=\[classifier,pixels,clip\]",
        ),
        (
            [*CHOOSING, "dataset.validation_fraction=0.0008"],
            r"the data set has 1 of them, where a distribution has 2 or",
        ),
        ([*CHOOSING, "dataset.validation_fraction=1.5"], r"validation_fraction must lie strictly between 0 and 1"),
        ([*CHOOSING, "dataset.validation_fraction=0.9999"], r"leaves 0 to train on and 1258 for validation"),
        ([*CHOOSING, "model.selection.images=1"], r"model\.selection\.images is 2 or more; got 1"),
        ([*CHOOSING, "model.selection.every=null"], r"model\.selection\.every=null keeps the last ones"),
        ([*CHOOSING, "trainer.devices=2"], r"give trainer\.devices=1, or model\.selection\.every=null"),
    ],
    ids=lambda given: given[-1] if isinstance(given, list) else None,
)
def test_what_cannot_be_judged_is_refused_at_once(line: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        laid_out(tmp_path, *line)
