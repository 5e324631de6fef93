from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

from collapse_lab.errors import UserError
from collapse_lab.features.clip import Clip
from collapse_lab.features.dino import Dino
from collapse_lab.features.pretrained import PretrainedImages
from collapse_lab.types import Spec
from tests.features.cases import noise
from tests.features.tiny_models import write_bert, write_clip, write_dino

COLOUR = Spec("image", (3, 30, 40))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shelf = tmp_path_factory.mktemp("shelf")
    write_clip(shelf / "clip")
    write_bert(shelf / "bert")
    for kind in ("ViT", "Dinov2"):
        write_dino(shelf / kind, kind)
    return shelf


@pytest.fixture
def folder(shelf: Path, tmp_path: Path) -> Path:
    """Return a copy of a DINO folder, which a test may damage."""
    return Path(shutil.copytree(shelf / "Dinov2", tmp_path / "dino"))


@pytest.mark.parametrize("kind", ["ViT", "Dinov2"])
def test_dino_features_are_the_class_token_of_the_transformers_model(kind: str, shelf: Path) -> None:
    rows = noise(COLOUR, 5)
    values = Dino(COLOUR, pretrained=str(shelf / kind), batch_size=2).extract(rows).values
    model = getattr(transformers, f"{kind}Model").from_pretrained(shelf / kind).eval()
    processor = transformers.CLIPImageProcessor.from_pretrained(shelf / kind)
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in rows.data]
    with torch.inference_mode():
        states = model(**processor(pictures, return_tensors="pt")).last_hidden_state
    assert states.shape[1] == 10  # the class token and 3x3 patches
    torch.testing.assert_close(values, states[:, 0], rtol=1e-4, atol=1e-5)


def test_the_fingerprint_depends_on_weights_and_settings_alone(shelf: Path, folder: Path) -> None:
    def fingerprint_of(place: Path) -> Mapping[str, object]:
        return Dino(COLOUR, pretrained=str(place)).fingerprint

    before = fingerprint_of(folder)
    assert before == fingerprint_of(shelf / "Dinov2")
    assert str(before["resize"]).startswith("size {'shortest_edge': 24}, resample 3, crop_size {")
    assert {"torch", "torchvision", "transformers"} <= before.keys()
    (folder / "README.md").write_text("not read")
    assert fingerprint_of(folder) == before
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps({**settings, "do_center_crop": False}))
    after = fingerprint_of(folder)
    assert after["weights"] != before["weights"]
    assert "crop" not in str(after["resize"])


def test_reading_leaves_the_global_generator_and_the_logging_alone(shelf: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    level = transformers.utils.logging.get_verbosity()
    Dino(COLOUR, pretrained=str(shelf / "Dinov2")).extract(noise(COLOUR, 2))
    assert torch.equal(torch.rand(3), expected)
    assert transformers.utils.logging.get_verbosity() == level


@pytest.mark.parametrize("kind", [Clip, Dino])
def test_a_source_without_a_model_is_refused_at_once(kind: type[PretrainedImages], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"need features\.\w+\.pretrained"):
        kind(COLOUR)
    with pytest.raises(UserError, match=r"needs features\.\w+\.revision"):
        kind(COLOUR, pretrained="owner/name")
    with pytest.raises(UserError, match="is no folder here"):
        kind(COLOUR, pretrained=str(tmp_path / "absent"), revision="main")
    with pytest.raises(UserError, match="not of tokens"):
        kind(Spec("tokens", (64,)), pretrained="owner/name", revision="main")


def test_pickled_weights_are_not_opened(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"should hold config\.json and model\.safetensors"):
        Dino(COLOUR, pretrained=str(folder))


def test_a_name_that_cannot_be_fetched_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    dino = Dino(COLOUR, pretrained="owner/name", revision="0123abc", cache=str(tmp_path))
    with pytest.raises(UserError, match=r"cannot be fetched .* or give a folder"):
        dino.extract(noise(COLOUR, 2))


def test_a_folder_with_missing_or_damaged_files_is_refused(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match="cannot be read by transformers' AutoImageProcessor"):
        Dino(COLOUR, pretrained=str(folder)).extract(noise(COLOUR, 2))
    (folder / "model.safetensors").write_bytes(b"junk")
    with pytest.raises(UserError, match="cannot be read by transformers' AutoModel"):
        _ = Dino(COLOUR, pretrained=str(folder))._network


def test_a_model_of_another_kind_is_refused(shelf: Path) -> None:
    with pytest.raises(UserError, match="should be a model of type clip, and is a dinov2"):
        Clip(COLOUR, pretrained=str(shelf / "Dinov2"))
    with pytest.raises(UserError, match="cannot be read by transformers' AutoImageProcessor"):
        Dino(COLOUR, pretrained=str(shelf / "bert")).extract(noise(COLOUR, 2))


def test_weights_that_lack_a_layer_are_refused_instead_of_left_random(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["layernorm.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"lacks weights of Dinov2Model \(layernorm\.weight"):
        Dino(COLOUR, pretrained=str(folder)).extract(noise(COLOUR, 2))
