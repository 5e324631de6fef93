"""Seed images: as many of each group, each from a source by diffusers' own image-to-image pipeline."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
from PIL import Image

from collapse_lab.datasets.seeded import Seeded
from collapse_lab.engine.view import View
from collapse_lab.errors import UserError
from collapse_lab.nn import image_to_image
from collapse_lab.seeds import Seeds
from tests.datasets.test_imagefolder import write_metadata
from tests.models.tiny_pipelines import write_pipeline

GROUPS = {"old man": 5, "young woman": 2}  # group -> its sources
EACH = 4


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipelines")
    write_pipeline(folder / "1.x", "1.x")
    write_pipeline(folder / "xl", "xl")
    return folder


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rows = tmp_path_factory.mktemp("sources"), []
    rng = np.random.default_rng(0)
    for group, n in GROUPS.items():
        for number in range(n):
            name = f"{group.replace(' ', '-')}-{number}.png"
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / name)
            rows.append({"file_name": name, "text": f"it is {number} {group}", "group": group})
    write_metadata(folder, rows, "csv")
    return folder


@pytest.fixture
def seeded(sources: Path, pipelines: Path, tmp_path: Path) -> Any:
    def make(kind: str = "1.x", **changes: Any) -> Seeded:
        arguments: dict[str, Any] = {"root": str(sources), "pretrained": str(pipelines / kind), "per_group": EACH}
        arguments |= {"label_column": "group", "steps": 4, "strength": 0.5, "batch": 3, "device": "cpu"}
        return Seeded(**(arguments | {"reference_fraction": 0.5, "cache": str(tmp_path / "cache")} | changes))

    return make


def test_each_group_has_as_many_pictures_with_the_prompts_of_their_sources(seeded: Any) -> None:
    data = seeded()
    rows = data.read()
    assert data.spec.shape == (3, 8, 8)
    assert data.classes == tuple(GROUPS)
    assert rows.labels.tolist() == [0] * EACH + [1] * EACH
    names = [f"{text.split(' ', 3)[3].replace(' ', '-')}-{text.split(' ')[2]}.png" for text in rows.captions.texts()]
    assert data.sources == names
    assert len(set(data.sources[:EACH])) == EACH  # of five sources
    assert sorted(data.sources[EACH:]) == ["young-woman-0.png"] * 2 + ["young-woman-1.png"] * 2
    # Because the noise differs where sources do not
    assert len({picture.tobytes() for picture in rows.images}) == 2 * EACH
    real = data.open()
    assert (len(real.train), len(real.reference)) == (EACH, EACH)
    assert isinstance(real.train.data, View)  # mapped, not in memory


@pytest.mark.parametrize("kind", ["1.x", "xl"])
def test_a_picture_is_that_of_diffusers_image_to_image(seeded: Any, pipelines: Path, sources: Path, kind: str) -> None:
    data = seeded(kind, guidance_scale=3.0)
    rows = data.read()
    own: Any = diffusers.AutoPipelineForImage2Image.from_pretrained(pipelines / kind)
    own.set_progress_bar_config(disable=True)
    name = data.sources[1]
    row = [name for name, _ in data._source.pictures()].index(name)
    made = own(
        rows.captions.texts()[1],
        image=Image.open(sources / name),
        strength=0.5,
        num_inference_steps=4,
        guidance_scale=3.0,
        generator=Seeds(0, 0, "real", f"seeding/{row}/0").torch(),
        output_type="np",
    ).images[0]
    # Because a batch of three rounds otherwise than one picture alone, a number may fall on the other side of a half
    assert np.abs(255 * made.transpose(2, 0, 1) - rows.images[1]).max() < 0.51


def test_prompts_can_be_made_of_templates(seeded: Any) -> None:
    data = seeded(caption_column=None, templates=["a photo of {a}"], per_group=1)
    assert data.read().captions.texts() == ["a photo of an old man", "a photo of a young woman"]
    assert data.spec.vocabulary == ("a photo of a young woman", "a photo of an old man")


def test_pictures_are_made_once_and_groups_that_are_done_are_kept(seeded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    make = image_to_image.ImageToImage.__call__

    def counted(self: Any, pictures: Any, prompts: Any, noises: Any) -> Any:
        calls.append(len(pictures))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return make(self, pictures, prompts, noises)

    monkeypatch.setattr(image_to_image.ImageToImage, "__call__", counted)
    with pytest.raises(KeyboardInterrupt):
        seeded().read()
    assert calls == [3, 1, 3, 1]
    stopped = seeded().read()
    assert calls[4:] == [3, 1]  # the second group alone
    again = seeded().read()
    assert len(calls) == 6
    undisturbed = seeded(cache=f"{seeded().cache}-other").read()
    for rows in (stopped, again):
        assert np.array_equal(rows.images, undisturbed.images)


def test_the_key_depends_on_what_pictures_depend_on_and_on_no_path(
    seeded: Any, pipelines: Path, tmp_path: Path
) -> None:
    key = seeded().key
    (tmp_path / "moved").symlink_to(pipelines / "1.x")
    assert seeded(pretrained=str(tmp_path / "moved"), cache="elsewhere", device="auto").key == key
    for change in ({"strength": 0.75}, {"steps": 8}, {"seed": 1}, {"per_group": 5}, {"guidance_scale": 1.0}):
        assert seeded(**change).key != key, change
    assert seeded("xl").key != key


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label_column": None}, "give dataset.label_column"),
        ({"caption_column": None}, "give dataset.caption_column, or dataset.templates"),
        ({"strength": 0.2}, "dataset.strength=0.2 of dataset.steps=4 leaves no step"),
        ({"root": "nowhere"}, "nowhere is not a folder"),
        ({"label_column": "race"}, "race"),
    ],
)
def test_bad_settings_are_refused(seeded: Any, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        seeded(**changes).classes  # noqa: B018, because the table is read when it is first needed


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pretrained": None}, "dataset=seeded needs dataset.pretrained: a folder that save_pretrained"),
        ({"pretrained": "owner/name"}, "needs dataset.revision"),
        ({"image_size": 7}, "shrinks sides by 2, and 7x7 is not divisible by it"),
    ],
)
def test_a_pipeline_that_does_not_fit_is_refused(seeded: Any, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        _ = seeded(**changes).key


def test_sources_without_a_group_are_named(seeded: Any, tmp_path: Path) -> None:
    for name in ("a", "b"):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    rows = [{"file_name": f"{name}.png", "text": name, "group": group} for name, group in (("a", "x"), ("b", None))]
    write_metadata(tmp_path, rows, "jsonl")
    with pytest.raises(UserError, match=r"row 1 of .* has no label: fill it in"):
        seeded(root=str(tmp_path)).read()


def test_a_broken_pipeline_is_named(seeded: Any, pipelines: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(pipelines / "1.x", tmp_path / "broken")
    (broken / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match="cannot be read by StableDiffusionImg2ImgPipeline of diffusers"):
        seeded(pretrained=str(broken)).read()


def test_noise_has_a_generator_for_each_picture(seeded: Any) -> None:
    one, three = (seeded(batch=batch, cache=f"{seeded().cache}-{batch}").read().images for batch in (1, 3))
    # Because noise does not depend on the batch, pictures differ by rounding alone
    assert np.abs(one.astype(int) - three.astype(int)).max() <= 1
