"""Images are dropped that show least of their prompt, and never by features that judge them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from collapse_lab import compose, prepare
from collapse_lab.curation.captions import DropUnlike
from collapse_lab.curation.quality import DropWorst
from collapse_lab.curation.sequence import InOrder
from collapse_lab.engine.extractors import Extractors
from collapse_lab.engine.silent import Silent
from collapse_lab.errors import UserError
from collapse_lab.types import Captions, Conditions, FeatureSet, Samples
from tests.e2e.command import ledger
from tests.engine.cases import Flat, lab_with
from tests.features.tiny_models import write_clip

RNG = np.random.default_rng(0)
PROMPTS = ["a cat", "a dog"]


class Angles(Flat):
    """Embed an image by the angle that its first pixel is, and every prompt by the angle zero: cosines are known."""

    def extract(self, samples: Samples) -> FeatureSet:
        angle = samples.data[:, 0, 0, 0].double()
        values = 3 * torch.stack([angle.cos(), angle.sin()], 1)  # of norm 3, which a cosine does not see
        return FeatureSet(
            values, torch.from_numpy(samples.labels), texts=torch.tensor([[2.0, 0.0]]).repeat(len(angle), 1)
        )


def images(angles: list[float], captions: list[str]) -> Samples:
    data = torch.tensor(angles)[:, None, None, None].expand(-1, 1, 2, 2).clone()
    return Samples(data, np.full(len(angles), -1, np.int64), Captions.of(captions))


def test_the_images_of_each_prompt_with_the_smallest_cosine_are_dropped() -> None:
    angles = [0.1, -0.2, 3.0, 1.0, -1.5, 0.5]
    rows = images(angles, [PROMPTS[0]] * 4 + [PROMPTS[1]] * 2)
    kept = DropUnlike(0.5).apply(rows, rows, Angles(), RNG)
    assert kept.data[:, 0, 0, 0].tolist() == pytest.approx([0.1, -0.2, 0.5])
    assert kept.captions.texts() == ["a cat", "a cat", "a dog"]


def test_what_has_no_score_is_refused() -> None:
    rows = images([0.1, 0.2], PROMPTS)
    with pytest.raises(UserError, match=r"have no texts; give prompts of texts, or curation=drop_worst"):
        DropUnlike().plan(Conditions(np.array([0, 1]), Captions()))
    with pytest.raises(UserError, match=r"needs features that embed captions, and 'clip' are none that do"):
        DropUnlike().apply(rows, rows, Flat(), RNG)
    with pytest.raises(UserError, match=r"NaN: the model has diverged"):
        DropUnlike().apply(images([float("nan"), 0.2], PROMPTS), rows, Angles(), RNG)


@dataclass
class Judge:
    """A metric, of which its feature spaces alone are asked."""

    features: list[str] | None = None


def chosen(folder: Path, spaces: list[str], metrics: dict[str, Any], curation: Any) -> str | None:
    lab = lab_with(folder, {space: Angles() for space in spaces})
    judged: dict[str, Any] = {name: (metric, {}) for name, metric in metrics.items()}
    return Extractors(replace(lab, metrics=judged), Silent()).scorer_for(curation)


def test_the_features_that_choose_are_none_that_judge(tmp_path: Path) -> None:
    elsewhere = {"fid": Judge(["pixels"])}
    assert chosen(tmp_path, ["pixels", "clip"], elsewhere, DropUnlike()) == "clip"
    assert chosen(tmp_path, ["pixels", "clip"], elsewhere, InOrder([DropUnlike()])) == "clip"
    with pytest.raises(
        UserError, match=r"in features 'clip', and features=\[pixels\] .*; give features=\[pixels,clip\]"
    ):
        chosen(tmp_path, ["pixels"], elsewhere, DropUnlike())
    with pytest.raises(UserError, match=r"give metrics\.kid\.features=\[pixels\] metrics\.mmd\.features=\[pixels\]$"):
        chosen(tmp_path, ["pixels", "clip"], {**elsewhere, "kid": Judge(), "mmd": Judge(["clip"])}, DropUnlike())
    with pytest.raises(UserError, match=r"score samples in one way; got several: clip, a classifier"):
        chosen(tmp_path, ["pixels", "clip"], elsewhere, InOrder([DropUnlike(), DropWorst()]))


def test_a_chain_retrains_on_the_images_that_clip_keeps(tmp_path: Path) -> None:
    clip = [f"features.clip.pretrained={write_clip(tmp_path / 'clip')}", "features=[pixels,clip]"]
    small = ["n_train=32", "n_samples=40", "trainer.steps=2", "trainer.finetune_steps=2", "model.sampler.steps=1"]
    run = prepare(
        compose(
            "+experiment=nepotistic",
            "+scale=tiny",
            *clip,
            *small,
            "curation=drop_unlike",
            "curation.fraction=0.5",  # because each of the 20 prompts has two images, and three are sampled for it then
            "metrics=[fid]",
            "metrics.fid.features=[pixels]",
            "generations=1",
            "ratio=0.5",
            "sinks=[]",
            "device=cpu",
            f"paths.runs={tmp_path}/runs",
        )
    )
    result = run.run()
    last = ledger(result.folder)[-1]
    assert (result.status, last["counts"]) == ("ok", {"real": 16, "synthetic": 16})
    assert not any("/clip/" in name for name in last["metrics"])
