from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.features.text_embedding import TextEmbedding
from collapse_lab.types import Samples, Spec, Tokens
from tests.features.tiny_models import write_bert, write_dino

WORDS = ["the", "cat", "dog", "sat", "on", "a", "mat"]


def spelt(rows: Tensor) -> list[str]:
    return ["".join(chr(97 + token) for token in row) for row in rows.tolist()]


def phrased(rows: Tensor) -> list[str]:
    return [" ".join(WORDS[token] for token in row) for row in rows.tolist()]


LETTERS = Spec("tokens", (5,), tokens=Tokens(26, "letters", spelt))
PHRASES = Spec("tokens", (4,), tokens=Tokens(len(WORDS), "words", phrased))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("bert"))


def one_by_one(folder: Path, texts: list[str]) -> Tensor:
    """Return the mean of the states of each text alone, so that nothing is padded."""
    model = transformers.BertModel.from_pretrained(folder).eval()
    tokenizer = transformers.BertTokenizer.from_pretrained(folder)
    rows = []
    with torch.inference_mode():
        for text in texts:
            mean = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)
            rows.append(mean / mean.square().sum().sqrt())
    return torch.stack(rows)


def test_embeddings_are_means_over_the_tokens_of_transformers(folder: Path) -> None:
    texts = ["the cat sat on the mat", "dog", "", "a dog sat"]
    embeddings = TextEmbedding(LETTERS, pretrained=str(folder), batch_size=3).embed(texts)
    torch.testing.assert_close(embeddings, one_by_one(folder, texts), rtol=1e-4, atol=1e-5)


def test_the_data_set_decodes_rows_to_texts(folder: Path) -> None:
    rows = torch.tensor([[0, 1, 3, 4], [5, 2, 3, 4], [0, 6, 3, 4]])
    extractor = TextEmbedding(PHRASES, pretrained=str(folder))
    extracted = extractor.extract(Samples(rows, np.array([0, 1, 2])))
    assert torch.equal(extracted.values, extractor.embed(["the cat sat on", "a dog sat on", "the mat sat on"]))
    assert extracted.labels.tolist() == [0, 1, 2]


def test_texts_are_cut_off_at_max_tokens(folder: Path) -> None:
    extractor = TextEmbedding(LETTERS, pretrained=str(folder), max_tokens=4)  # two words and two marks
    # Each alone, since the kernels may round differently in different rows of a batch
    cut_off, whole, shorter = (extractor.embed([text]) for text in ("the cat sat", "the cat", "the"))
    assert torch.equal(cut_off, whole)
    assert not torch.allclose(whole, shorter, atol=1e-3)
    assert extractor.fingerprint != TextEmbedding(LETTERS, pretrained=str(folder)).fingerprint


def test_bad_input_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"are of texts, not of image \(1, 8, 8\)"):
        TextEmbedding(Spec("image", (1, 8, 8)))
    with pytest.raises(UserError, match="are of texts, not of tokens"):
        TextEmbedding(Spec("tokens", (64,)))
    with pytest.raises(UserError, match="is no folder here"):
        TextEmbedding(LETTERS, pretrained=str(tmp_path / "absent"))
    with pytest.raises(UserError, match="were given none"):
        TextEmbedding(LETTERS, pretrained=str(folder)).embed([])
    with pytest.raises(UserError, match="cannot be read by transformers' AutoTokenizer"):
        TextEmbedding(LETTERS, pretrained=str(write_dino(tmp_path / "dino", "ViT"))).embed(["the cat"])


def test_nothing_is_fetched_before_it_is_needed(tmp_path: Path) -> None:
    TextEmbedding(LETTERS, cache=str(tmp_path / "absent"))
    assert not (tmp_path / "absent").exists()


@pytest.mark.hub
def test_the_packaged_network_pairs_sentences_of_similar_meaning(cache: str) -> None:
    extractor = TextEmbedding(LETTERS, cache=cache)
    pairs = [
        ("A man is eating food.", "A man is eating a piece of bread."),
        ("The girl is carrying a baby.", "A woman holds an infant in her arms."),
        ("The stock market fell sharply today.", "Share prices dropped a lot this afternoon."),
        ("A cheetah is running behind its prey.", "A big cat chases an antelope."),
        ("How do I bake sourdough bread?", "What is the recipe for a loaf with natural yeast?"),
    ]
    first, second = (extractor.embed([pair[i] for pair in pairs]) for i in (0, 1))
    assert first.shape == (5, 384)
    cosines = first @ second.T
    assert (cosines.argmax(1) == torch.arange(5)).all()
    assert (cosines.argmax(0) == torch.arange(5)).all()


@pytest.mark.hub
def test_the_packaged_network_gives_the_published_cosines(cache: str) -> None:
    embeddings = TextEmbedding(LETTERS, cache=cache).embed(
        ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    )
    # As sentence-transformers prints them for all-MiniLM-L6-v2 at sbert.net/docs/quickstart.html
    published = torch.tensor([[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]])
    torch.testing.assert_close(embeddings @ embeddings.T, published, rtol=0, atol=6e-5)
