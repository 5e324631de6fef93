"""The chain of the paper at the smallest size: seeding, own images, drift of unseen prompts, where iterations start."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from collapse_lab.cli.export import main as export
from collapse_lab.datasets.imagefolder import ImageFolder
from tests.e2e.command import entries, ledger, only_run
from tests.e2e.faces import GROUPS, needed
from tests.nursery import End, Nursery

LINE = ["+experiment=nepotistic_faces", "+scale=tiny", "ratio=0.5", "n_train=16", "n_samples=32", "device=cpu"]
LINE += ["trainer.steps=0", "trainer.finetune_steps=2", "trainer.batch_size=8", "model.sampler.steps=4"]
LINE += ["model.sampling_batch=16", "model.encoding_batch=50", "features=[pixels]", "sinks=[console]"]
LINE += ["metrics=[fid,kid,by_group]", "metrics.by_group.k=1", "metrics.by_group.bootstrap=4"]


@pytest.fixture(scope="module")
def folder(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("faces")
    end = nursery.run([*LINE, *needed(place), f"paths.runs={place / 'runs'}", f"paths.data={place / 'data'}"])
    assert end.code == 0, end.err
    return place / "runs"


def begun(nursery: Nursery, folder: Path, name: str, *more: str) -> End:
    """Run the preset with other settings and another name, beside the chain and in its store."""
    place = folder.parent
    given = [f"dataset.root={place / 'faces'}", f"model.pretrained={place / 'sd'}", "dataset.image_size=8"]
    paths = [f"paths.runs={folder}", f"paths.data={place / 'data'}", f"name={name}"]
    return nursery.run([*LINE, *given, *paths, *more])


def weights_of(folder: Path, name: str) -> list[dict[str, np.ndarray]]:
    """Return the weights of the U-Net of each generation, as floats."""
    stages = entries(folder / ".store", "fit")
    keys = [line["keys"]["fit"] for line in ledger(only_run(folder, name))]
    return [load_file(stages[f"fit/{key}"] / "tensors.safetensors") for key in keys]


def moved(folder: Path, weights: dict[str, np.ndarray]) -> float:
    """Return how far weights are from the published ones: the mean of |difference| over all of them."""
    published = load_file(folder.parent / "sd" / "unet" / "diffusion_pytorch_model.safetensors")
    return float(
        np.concatenate([np.abs(weights[f"unet.{k}"] - value).ravel() for k, value in published.items()]).mean()
    )


def test_each_iteration_trains_on_as_many_own_images_as_real_faces(folder: Path) -> None:
    lines = ledger(only_run(folder, "nepotistic_faces"))
    assert [line["counts"] for line in lines][1:] == [{"real": 8, "synthetic": 8}] * 2


def test_each_group_is_measured_by_itself(folder: Path) -> None:
    for line in ledger(only_run(folder, "nepotistic_faces")):
        assert line["metrics"]["seen/pixels/fid"] > 0
        for group in range(len(GROUPS)):
            assert 0 <= line["metrics"][f"seen/pixels/group_recall_{group}"] <= 1
        assert line["features"]["pixels"]["seen"]["groups"] == list(GROUPS)


@pytest.mark.parametrize("subset", ["held_out", "unseen"])
def test_prompts_without_a_real_picture_are_compared_with_generation_0(folder: Path, subset: str) -> None:
    first, *later = ledger(only_run(folder, "nepotistic_faces"))
    assert f"{subset}/pixels/fid" not in first["metrics"]
    assert all(line["metrics"][f"{subset}/pixels/fid"] > 0 for line in later)


def test_exported_seed_images_name_the_real_row_that_they_were_drawn_from(folder: Path, tmp_path: Path) -> None:
    run = only_run(folder, "nepotistic_faces")
    lines = {}
    for generation in (0, 1):
        place = tmp_path / str(generation)
        assert export([str(run), "--samples", "--generation", str(generation), "--to", str(place)]) == 0
        read = map(json.loads, (place / "metadata.jsonl").read_text().splitlines())
        lines[generation] = [line for line in read if line["prompts"] == "seen"]
    # The groups take turns, and so do the pictures of a group
    assert len({line["from_row"] for line in lines[0]}) == len(lines[0])
    assert {line["strength"] for line in lines[0]} == {0.6}
    # The name of a file says the number of its group, and the row of the training split is that file's
    assert all(line["from_file"].startswith(f"{GROUPS.index(line['class'])}-") for line in lines[0])
    split = ImageFolder(
        root=str(folder.parent / "faces"),
        label_column="group",
        image_size=8,
        reference_fraction=0.2,
        cache=str(folder.parent / "data"),
    ).load()
    for line in lines[0]:
        with Image.open(folder.parent / "faces" / line["from_file"]) as picture:
            assert np.array_equal(np.asarray(picture).transpose(2, 0, 1), split.train.data[line["from_row"]].numpy())
    # Later iterations start from noise
    assert not any({"from_row", "from_file"} & set(line) for line in lines[1])


def test_generation_0_is_the_published_model_and_later_ones_are_not(folder: Path) -> None:
    first, *later = (moved(folder, weights) for weights in weights_of(folder, "nepotistic_faces"))
    assert first == 0
    assert len(later) == 2
    assert 0 < later[0] < later[1]  # because each goes on from the one before


def test_every_iteration_may_begin_again_from_the_published_model(nursery: Nursery, folder: Path) -> None:
    end = begun(nursery, folder, "again", "population.lineage=first")
    assert end.code == 0, end.err
    going_on, again = (weights_of(folder, name) for name in ("nepotistic_faces", "again"))
    assert moved(folder, again[1]) == moved(folder, going_on[1]) > 0  # which starts from generation 0 in both
    assert moved(folder, again[2]) == pytest.approx(moved(folder, again[1]), rel=0.1)  # and not from that iteration


def test_an_iteration_that_would_be_the_published_model_again_is_refused(nursery: Nursery, folder: Path) -> None:
    end = begun(nursery, folder, "untrained", "population.lineage=scratch")
    assert end.code == 2
    assert "population.lineage=scratch fits every generation of 'model' for trainer.steps, which is 0" in end.err
    assert "give population.lineage=first" in end.err
    assert not (folder / "untrained").exists()


def test_the_strength_of_later_iterations_shares_the_seed_images(nursery: Nursery, folder: Path) -> None:
    before = set(entries(folder / ".store"))
    end = begun(nursery, folder, "all_from_faces", "model.strength=0.6", "generations=1")
    assert end.code == 0, end.err
    first, second = (ledger(only_run(folder, name)) for name in ("nepotistic_faces", "all_from_faces"))
    assert second[0]["metrics"] == first[0]["metrics"]  # generation 0 starts from faces in both
    assert second[1]["metrics"]["seen/pixels/fid"] != first[1]["metrics"]["seen/pixels/fid"]
    assert {name.split("/")[0] for name in set(entries(folder / ".store")) - before} <= {"sample", "features", "floor"}
