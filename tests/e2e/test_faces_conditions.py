"""Healing and a control of the paper on faces, with Stable Diffusion 1.x and SDXL, at the smallest size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from tests.e2e.command import entries, ledger, only_run
from tests.e2e.faces import needed
from tests.models.tiny_pipelines import Kind
from tests.nursery import Nursery

LINE = ["+experiment=nepotistic_faces", "+scale=tiny", "ratio=0.5", "n_train=16", "n_samples=16", "device=cpu"]
LINE += ["trainer.steps=0", "trainer.finetune_steps=2", "trainer.batch_size=8", "model.sampler.steps=2"]
LINE += ["model.sampling_batch=50", "model.encoding_batch=50", "features=[pixels]", "metrics=[fid]", "sinks=[]"]
LINE += ["metrics.fid.bootstrap=0", "~prompts.sets.held_out", "~prompts.sets.unseen"]


def computed(nursery: Nursery, place: Path, kind: Kind, *more: str) -> Path:
    """Run the preset with a pipeline of some kind, and return the folder of runs."""
    paths = [f"paths.runs={place / 'runs'}", f"paths.data={place / 'data'}"]
    end = nursery.run([*LINE, *needed(place, kind=kind), *paths, *more])
    assert end.code == 0, end.err
    return place / "runs"


@pytest.mark.parametrize("kind", ["1.x", "xl"])
def test_half_of_the_iterations_heal_on_real_faces_alone(kind: Kind, nursery: Nursery, tmp_path: Path) -> None:
    runs = computed(nursery, tmp_path, kind, "mixing=heal_by_label", "generations=2")
    lines = ledger(only_run(runs, "nepotistic_faces"))
    assert [line["counts"] for line in lines][1:] == [{"real": 8, "synthetic": 8}, {"real": 16, "synthetic": 0}]
    assert all(line["status"] == "ok" and line["metrics"]["seen/pixels/fid"] > 0 for line in lines)


def test_models_train_on_own_images_with_the_colours_of_real_faces(nursery: Nursery, tmp_path: Path) -> None:
    runs = computed(nursery, tmp_path, "xl", "curation=histogram", "generations=1")
    assert [line["counts"] for line in ledger(only_run(runs, "nepotistic_faces"))][1:] == [{"real": 8, "synthetic": 8}]
    faces = np.stack([np.asarray(Image.open(path)) for path in (tmp_path / "faces").glob("*.png")])

    def apart(kind: str) -> list[float]:
        """Return for each stage of a kind how far its levels are from those of faces, at most, in any channel."""
        shares, found = np.linspace(0.05, 0.95, 19), []
        for path in entries(runs / ".store", kind).values():
            images = load_file(path / "tensors.safetensors")["data"]
            levels = [np.quantile(images[:, k], shares) - np.quantile(faces[..., k], shares) for k in range(3)]
            found.append(float(np.abs(levels).max()))
        return found

    # Not 0, because the faces that are trained on, whose colours are taken, are four fifths of all
    assert max(apart("curated")) < 12 < min(apart("sample"))
