from __future__ import annotations

from pathlib import Path

import pytest

from collapse_lab import memory
from collapse_lab.config.building import build
from collapse_lab.config.composing import compose
from collapse_lab.engine.checks import check_sizes
from collapse_lab.engine.executor import Alone
from collapse_lab.errors import UserError
from tests.standins import Chain


def test_rows_that_lie_in_mapped_files_need_no_memory_for_their_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Chain(tmp_path, n=2000).lab()  # 64 bytes of pixels a row, and 16 of its label and caption
    monkeypatch.setattr(memory, "installed", lambda: 2000 * 50)
    with pytest.raises(UserError, match="n_samples=2000 rows of 1 x 8 x 8 would take 160 kB"):
        check_sizes(lab)
    check_sizes(lab, mapped=True)
    monkeypatch.setattr(memory, "installed", lambda: 2000 * 10)
    with pytest.raises(UserError, match="n_samples=2000 rows of 1 x 8 x 8 would take 32 kB"):
        check_sizes(lab, mapped=True)


SCRATCH = r"population.lineage=scratch fits every generation of 'model' for trainer.steps, which is 0.*lineage=first"
WARM = r"after the first one of 'model' would be fitted for 0 steps .* give trainer.finetune_steps=1 or more"
NETWORK = ["+experiment=nepotistic", "+scale=tiny", "model.channels=[8,16]", "model.norm_groups=4"]
NETWORK += ["features=[pixels]", "metrics=[fid]", "sinks=[]", "device=cpu"]


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (["population.lineage=scratch", "trainer.steps=0"], SCRATCH),
        (["trainer.finetune_steps=0"], WARM),
        (["population.lineage=first", "trainer.steps=0", "trainer.finetune_steps=null"], WARM),
    ],
    ids=["scratch", "previous", "first"],
)
def test_chains_of_which_no_later_generation_is_trained_are_refused(words: list[str], refusal: str) -> None:
    with pytest.raises(UserError, match=refusal):
        build(compose(*NETWORK, *words).cfg, Alone())


@pytest.mark.parametrize(
    "words",
    [
        ["population.lineage=first", "trainer.steps=0"],
        ["population.lineage=scratch", "trainer.finetune_steps=0"],
        ["population.lineage=scratch", "trainer.steps=0", "trainer.epochs=1"],
        ["trainer.finetune_steps=0", "generations=0"],
        ["trainer.finetune_steps=0", "+population.present={model: [1, 1]}", "ratio=0"],
    ],
    ids=["untrained first", "cold", "epochs", "no later generation", "one generation of a member"],
)
def test_fits_of_no_step_are_not_refused_where_no_later_generation_takes_one(words: list[str]) -> None:
    build(compose(*NETWORK, *words).cfg, Alone())


def test_a_family_with_a_closed_form_takes_no_steps_and_is_not_refused() -> None:
    build(compose("+experiment=recursive_gaussian", "+scale=tiny", "trainer.steps=0", "device=cpu").cfg, Alone())
