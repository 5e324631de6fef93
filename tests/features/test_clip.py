from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from collapse_lab.features.clip import Clip
from collapse_lab.types import Captions, Samples, Spec
from tests.features.cases import noise
from tests.features.tiny_models import write_clip

COLOUR = Spec("image", (3, 30, 40), ("a", "b"))
CAPTIONS = ["a zebra", "a cat", "a cat", "two cats on a very long mat that nobody ever sees"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip"))


def captioned(n: int = 4) -> Samples:
    rows = noise(COLOUR, n)
    return Samples(rows.data, rows.labels, Captions.of([CAPTIONS[i % 4] for i in range(n)]))


def by_transformers(folder: Path, data: Tensor) -> tuple[Tensor, Tensor]:
    """Return image and text embeddings, by one call of the whole model on pictures."""
    model = transformers.CLIPModel.from_pretrained(folder).eval()
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder)
    processor = transformers.CLIPImageProcessor.from_pretrained(folder)
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in data]
    tokens = tokenizer(CAPTIONS, padding=True, truncation=True, max_length=20, return_tensors="pt")
    with torch.inference_mode():
        output = model(**tokens, **processor(pictures, return_tensors="pt"))
    return output.image_embeds, output.text_embeds


def test_embeddings_of_pictures_and_captions_agree_with_transformers(folder: Path) -> None:
    rows = captioned()
    extracted = Clip(COLOUR, pretrained=str(folder), batch_size=3).extract(rows)
    images, texts = by_transformers(folder, rows.data)
    torch.testing.assert_close(extracted.values, images, rtol=1e-4, atol=1e-5)
    assert extracted.texts is not None
    torch.testing.assert_close(extracted.texts, texts, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(extracted.values.norm(dim=1), torch.ones(4))
    assert extracted.labels.tolist() == rows.labels.tolist()


def test_each_distinct_caption_is_embedded_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    embed = Clip.embed_texts

    def counted(self: Clip, texts: list[str]) -> Tensor:
        seen.extend(texts)
        return embed(self, texts)

    monkeypatch.setattr(Clip, "embed_texts", counted)
    clip, rows = Clip(COLOUR, pretrained=str(folder)), captioned(12)
    clip.extract(rows.take(np.array([0, 1, 2, 4, 5, 6, 8])))
    assert sorted(seen) == ["a cat", "a zebra"]


def test_captions_have_the_same_embedding_in_any_batch(folder: Path) -> None:
    one, many = (Clip(COLOUR, pretrained=str(folder), batch_size=size) for size in (1, 8))
    torch.testing.assert_close(one.embed_texts(CAPTIONS), many.embed_texts(CAPTIONS), rtol=1e-4, atol=1e-5)


def test_without_captions_there_are_no_texts(folder: Path) -> None:
    extracted = Clip(COLOUR, pretrained=str(folder)).extract(noise(COLOUR, 3))
    assert extracted.texts is None
    assert extracted.values.shape == (3, 16)


def test_a_grey_image_is_read_as_a_colour_image_of_three_equal_channels(folder: Path) -> None:
    grey = noise(Spec("image", (1, 30, 40)), 3)
    colour = Samples(grey.data.repeat(1, 3, 1, 1), grey.labels)
    ours = Clip(Spec("image", (1, 30, 40)), pretrained=str(folder)).extract(grey).values
    assert torch.equal(ours, Clip(COLOUR, pretrained=str(folder)).extract(colour).values)


def test_the_embedding_is_the_projected_one(folder: Path) -> None:
    rows = captioned()
    model = transformers.CLIPModel.from_pretrained(folder).eval()
    clip = Clip(COLOUR, pretrained=str(folder))
    pixels = torch.stack([clip.prepare(image.numpy()) for image in rows.data])
    with torch.inference_mode():
        projected = model.visual_projection(model.vision_model(pixels).pooler_output)
    torch.testing.assert_close(clip.extract(rows).values, normalize(projected, dim=1), rtol=1e-4, atol=1e-5)
