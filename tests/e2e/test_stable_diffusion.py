"""The paper's chain with a diffusers pipeline in the model's place, from one command, at the smallest size."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.e2e.command import entries, ledger, only_run
from tests.models.tiny_pipelines import write_pipeline
from tests.nursery import Nursery

LINE = ["+experiment=nepotistic", "+scale=tiny", "model=stable_diffusion", "ratio=0.5", "mixing.initial=24"]
LINE += ["n_train=16", "n_samples=16", "trainer.steps=4", "trainer.finetune_steps=2", "model.sampler.steps=2"]
LINE += ["model.sampling_batch=50", "model.encoding_batch=50", "features=[pixels]", "metrics=[fid]", "sinks=[console]"]
LINE += ["probes=[denoising]", "probes.denoising.draws=1", "dataset.limit=120", "device=cpu"]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pipeline(tmp_path_factory.mktemp("pipeline") / "sd", "2.x", channels=1)


@pytest.fixture(scope="module")
def runs(nursery: Nursery, pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sd") / "runs"
    end = nursery.run([*LINE, f"model.pretrained={pipeline}", f"paths.runs={place}"])
    assert end.code == 0, end.err
    return place


def test_the_nepotistic_chain_retrains_the_unet_on_its_own_images(runs: Path) -> None:
    lines = ledger(only_run(runs))
    assert [line["counts"] for line in lines] == [
        {"real": 24, "synthetic": 0},
        {"real": 8, "synthetic": 8},
        {"real": 8, "synthetic": 8},
    ]
    for line in lines:
        assert line["status"] == "ok"
        for subset in ("seen", "unseen"):
            assert line["metrics"][f"{subset}/pixels/fid"] > 0
            assert line["metrics"][f"{subset}/denoising_loss"] > 0


def test_a_stored_fit_holds_the_unet_alone(runs: Path) -> None:
    fits = [folder for name, folder in entries(runs / ".store").items() if name.startswith("fit/")]
    assert len(fits) == 3
    for folder in fits:
        assert {name.split(".")[0] for name in load_file(folder / "tensors.safetensors")} == {"unet"}


def test_the_same_pipeline_at_another_path_computes_nothing_again(
    nursery: Nursery, runs: Path, pipeline: Path, tmp_path: Path
) -> None:
    before = entries(runs / ".store").keys()
    moved = shutil.copytree(pipeline, tmp_path / "moved")
    end = nursery.run([*LINE, f"model.pretrained={moved}", f"paths.runs={runs}", "name=moved"])
    assert end.code == 0, end.err
    assert entries(runs / ".store").keys() == before
    first, second = ([line["metrics"] for line in ledger(only_run(runs, name))] for name in ("nepotistic", "moved"))
    assert first == second


def test_a_missing_pipeline_is_refused_in_one_line(nursery: Nursery, tmp_path: Path) -> None:
    end = nursery.run([*LINE, f"paths.runs={tmp_path}"])
    assert end.code == 2
    assert "model=stable_diffusion needs model.pretrained: a folder that save_pretrained" in end.err
    assert len(end.err.strip().splitlines()) == 1


@pytest.mark.slow
def test_a_chain_whose_fits_two_processes_divide_has_the_numbers_of_one(
    nursery: Nursery, pipeline: Path, runs: Path, tmp_path: Path
) -> None:
    wanted = [f"model.pretrained={pipeline}", f"paths.runs={tmp_path / 'runs'}", "trainer.devices=2"]
    end = nursery.run([*LINE, *wanted])
    assert end.code == 0, end.err
    for ours, theirs in zip(ledger(only_run(tmp_path / "runs")), ledger(only_run(runs)), strict=True):
        assert ours["counts"] == theirs["counts"]
        for name in ("seen/denoising_loss", "unseen/pixels/fid"):
            assert ours["metrics"][name] == pytest.approx(theirs["metrics"][name], rel=1e-3)
