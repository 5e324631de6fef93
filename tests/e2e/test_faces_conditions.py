"""Healing and both controls of the paper on faces, with Stable Diffusion 1.x and SDXL, at the smallest size."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from collapse_lab.engine.executor import Alone
from collapse_lab.engine.oversampling import joined
from collapse_lab.engine.payloads import samples_of
from collapse_lab.features.clip import Clip
from collapse_lab.storage.store import Store
from collapse_lab.types import Samples, Spec
from tests.e2e.command import entries, ledger, only_run
from tests.e2e.faces import GROUPS, needed
from tests.features.tiny_models import write_clip
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


def pictures(samples: Samples, rows: Iterable[int]) -> list[bytes]:
    """Return the bytes of some pictures, in an order that does not depend on theirs."""
    return sorted(samples.data[row].numpy().tobytes() for row in rows)


def test_more_is_drawn_from_the_same_faces_and_those_least_like_their_prompt_are_dropped(
    nursery: Nursery, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip")
    filtered = ["curation=drop_unlike", "curation.fraction=0.5", "features=[pixels,clip]", "ratio=1"]
    filtered += [f"features.clip.pretrained={clip}", "metrics.fid.features=[pixels]", "generations=1"]
    runs = computed(nursery, tmp_path, "1.x", *filtered)
    assert ledger(only_run(runs, "nepotistic_faces"))[1]["counts"] == {"real": 0, "synthetic": 16}
    store = Store(runs / ".store", Alone())
    drawn, (kept,) = (
        [store.look_up(kind, name.split("/")[1]) for name in entries(runs / ".store", kind)]
        for kind in ("sample", "curated")
    )
    # Images of generation 0 alone start from faces, and 50 of them are a grid
    first = [payload for payload in drawn if len(payload.meta.get("rows", ())) in range(1, 50)]
    more, asked = sorted(first, key=lambda payload: len(payload.meta["rows"]))
    # Of 15 images of a group floor(0.5 * 15) = 7 are dropped, so that the 8 are left that are asked for
    assert [len(payload.meta["rows"]) for payload in (more, asked)] == [14, 16]
    assert set(more.meta["rows"]) < set(asked.meta["rows"])
    images, left = joined([samples_of(asked), samples_of(more)]), samples_of(kept)
    features = Clip(Spec("image", (3, 8, 8), GROUPS), pretrained=str(clip)).extract(images)
    assert features.texts is not None
    cosines = (features.values * features.texts).sum(1).numpy()
    for label in range(len(GROUPS)):
        rows = np.flatnonzero(images.labels == label)
        best = rows[np.argsort(cosines[rows])[-8:]]
        assert len(rows) == 15
        assert pictures(left, np.flatnonzero(left.labels == label)) == pictures(images, best)
