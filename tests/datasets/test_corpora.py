from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import get_class
from omegaconf import OmegaConf

from collapse_lab.datasets.corpus import Corpus
from collapse_lab.datasets.python_docs import PythonDocs
from collapse_lab.datasets.textfile import TextFile
from collapse_lab.errors import UserError
from collapse_lab.texts.tokenizer import tokenizer
from collapse_lab.types import RealData, Samples
from tests.datasets.test_conf import CONF, resolved
from tests.datasets.texts import text_of

FILES = sorted(path for path in CONF.glob("*.yaml") if issubclass(get_class(OmegaConf.load(path)._target_), Corpus))
ANIMALS = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen", "ibis", "jay")


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return the path of ten documents that differ in their animal."""
    file = tmp_path / "animals.txt"
    file.write_text("\n\n".join(f"The {a} saw another {a}.\nThe {a} ran, and the {a} hid." for a in ANIMALS))
    return str(file)


def small(path: str, **changes: Any) -> TextFile:
    arguments = {"vocabulary": 260, "block": 16, "cache": "absent", **changes}
    return TextFile(path=path, **arguments)


def identity_of(data: Corpus) -> str:
    assert data.spec.tokens is not None
    return data.spec.tokens.identity


def animals_in(samples: Samples, data: Corpus) -> list[str]:
    documents = text_of(samples, data).split("\n")
    return [document.split()[1] for document in documents if document.startswith("The ") and "saw" in document]


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_a_yaml_has_every_argument_with_the_default_of_the_constructor(file: Path, tmp_path: Path) -> None:
    arguments = resolved(file, str(tmp_path / "cache"))
    target = get_class(arguments.pop("_target_"))
    defaults = {name: parameter.default for name, parameter in inspect.signature(target).parameters.items()}
    assert set(arguments) == set(defaults)
    filled_in = {name for name, value in arguments.items() if value != "???"} - {"cache"}
    assert {name: arguments[name] for name in filled_in} == {name: defaults[name] for name in filled_in}
    assert any(word in (inspect.getdoc(target) or "").lower() for word in ("licence", "cc by"))


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_the_key_needs_no_download(file: Path, tmp_path: Path) -> None:
    arguments = resolved(file, str(tmp_path / "cache"))
    if "???" in arguments.values() or arguments.get("corpora", {}) is None:
        pytest.skip("names a file or a data set of the user's")
    data = get_class(arguments.pop("_target_"))(**arguments)
    assert len(data.key) == 16
    assert not (tmp_path / "cache").exists()


def test_importing_the_modules_imports_no_heavy_library() -> None:
    imports = "; ".join(f"import {get_class(OmegaConf.load(file)._target_).__module__}" for file in FILES)
    heavy = "{'torch', 'transformers', 'tokenizers', 'datasets', 'pyarrow'} & set(sys.modules)"
    code = f"import sys; {imports}; import collapse_lab.texts.checkpoints; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_blocks_are_the_documents_one_after_another(path: str) -> None:
    data = small(path, reference_fraction=0.3)
    real = data.load()
    for samples, n in ((real.train, 7), (real.reference, 3)):
        assert samples.data.dtype == torch.int64
        assert list(samples.data.shape[1:]) == list(data.spec.shape) == [16]
        assert (samples.labels == -1).all()
        assert samples.captions.table == ()
        animals = animals_in(samples, data)
        assert len(set(animals)) == len(animals) == n
        assert len(samples) * 16 <= sum(len(document) + 1 for document in Path(path).read_text().split("\n\n"))
    # The blocks hold complete documents, each followed by a line break
    documents = {document.split()[1]: document for document in Path(path).read_text().split("\n\n")}
    text = text_of(real.train, data)
    expected = "\n".join(documents[animal] for animal in animals_in(real.train, data))
    assert expected.startswith(text)
    assert len(expected) - len(text) < 16 * 8


def test_no_document_is_both_for_training_and_for_reference(path: str) -> None:
    data = small(path, reference_fraction=0.3)
    real = data.load()
    train, reference = set(animals_in(real.train, data)), set(animals_in(real.reference, data))
    assert train | reference == set(ANIMALS)
    assert not train & reference
    other = small(path, reference_fraction=0.3, split_seed=1)
    assert set(animals_in(other.load().reference, other)) != reference


def test_validation_documents_are_the_last_of_the_training_documents(path: str) -> None:
    data = small(path, reference_fraction=0.3, validation_fraction=0.3)
    real = data.load()
    assert real.validation is not None
    train, reference, validation = (animals_in(part, data) for part in (real.train, real.reference, real.validation))
    assert (len(train), len(reference), len(validation)) == (5, 3, 2)
    assert {*train, *reference, *validation} == set(ANIMALS)
    without = small(path, reference_fraction=0.3)
    assert animals_in(without.load().train, without) == [*train, *validation]
    assert without.load().reference.data.shape == real.reference.data.shape
    assert without.load().validation is None


def test_fewer_validation_blocks_are_the_first_ones(path: str) -> None:
    every = small(path, validation_fraction=0.3).load().validation
    two = small(path, validation_fraction=0.3, validation=2).load().validation
    assert every is not None
    assert two is not None
    assert two.data.equal(every.data[:2])


def test_a_document_that_occurs_twice_is_taken_once(path: str) -> None:
    text = Path(path).read_text()
    once = small(path).load()
    Path(path).write_text(f"{text}\n\n{text}\n \n\n\n{text}\n")
    again = small(path).load()
    assert again.train.data.equal(once.train.data)
    assert again.reference.data.equal(once.reference.data)


def test_merges_are_learnt_from_the_training_documents_alone(path: str) -> None:
    data = small(path, reference_fraction=0.3, vocabulary=290)
    kept = animals_in(data.load().reference, data)
    documents = Path(path).read_text().split("\n\n")
    rest = [document for document in documents if document.split()[1] not in kept]
    assert identity_of(data) == tokenizer("bpe", 290, rest, "absent").identity
    assert identity_of(data) != tokenizer("bpe", 290, documents, "absent").identity


def test_fewer_blocks_are_the_first_of_more_blocks(path: str) -> None:
    all_blocks = small(path).load()
    fewer = small(path, train=5, reference=2).load()
    assert (len(fewer.train), len(fewer.reference)) == (5, 2)
    assert fewer.train.data.equal(all_blocks.train.data[:5])
    assert fewer.reference.data.equal(all_blocks.reference.data[:2])
    longer = small(path, block=32, train=2).load()
    assert longer.train.data.reshape(-1).equal(all_blocks.train.data[:4].reshape(-1))


def test_the_key_changes_with_the_rows_but_not_with_the_path(path: str, tmp_path: Path) -> None:
    first = small(path).key
    moved = tmp_path / "moved.txt"
    moved.write_text(Path(path).read_text())
    assert small(str(moved)).key == small(path, cache="elsewhere").key == first
    changes: list[dict[str, Any]] = [{"vocabulary": 261}, {"block": 8}, {"train": 3}, {"reference": 3}]
    changes += [{"split_seed": 1}, {"reference_fraction": 0.3}, {"tokenizer": "stories15m"}]
    keys = [small(path, **change).key for change in changes]
    assert len({first, *keys}) == 8
    assert small(path, validation=None, validation_fraction=None).key == first
    assert len({first, *(small(path, validation_fraction=share).key for share in (0.2, 0.3))}) == 3
    assert small(path, tokenizer="stories15m", vocabulary=300).key == keys[-1]
    moved.write_text(Path(path).read_text() + ".")
    assert small(str(moved)).key != first


def same(a: RealData, b: RealData) -> bool:
    return a.train.data.equal(b.train.data) and a.reference.data.equal(b.reference.data)


def test_lines_of_json_and_files_of_a_folder_are_documents(path: str, tmp_path: Path) -> None:
    documents = Path(path).read_text().split("\n\n")
    lines = tmp_path / "animals.jsonl"
    lines.write_text("\n".join(json.dumps({"text": "no", "body": document}) for document in documents) + "\n\n")
    folder = tmp_path / "animals"
    for i, document in enumerate(documents):
        (folder / str(i % 3)).mkdir(parents=True, exist_ok=True)
        (folder / str(i % 3) / f"{i}.txt").write_text(document)
    (folder / "notes.md").write_text("no")
    expected = small(path).load()
    assert same(small(str(lines), field="body").load(), expected)
    assert same(small(str(folder)).load(), expected)
    crlf = tmp_path / "crlf.txt"
    crlf.write_bytes(b"\xef\xbb\xbf" + Path(path).read_bytes().replace(b"\n", b"\r\n"))
    assert same(small(str(crlf)).load(), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block": 1}, "block is 2 or more; got 1"),
        ({"block": 5000}, "the train documents hold [0-9]+ tokens, which is shorter than a block of 5000"),
        ({"train": 500}, "train=500 asks for more blocks than the train documents give, which is [0-9]+: lower it"),
        ({"reference": 500}, "reference=500 asks for more blocks than the reference documents give"),
        ({"vocabulary": 100}, "vocabulary is 257 or more; got 100"),
        ({"vocabulary": 5000}, "more than the training documents give"),
        ({"tokenizer": "bep"}, "'bep' is neither a folder here nor a known language model"),
        ({"reference_fraction": 1.0}, "strictly between 0 and 1, got 1.0"),
        ({"reference_fraction": 0.01}, "of 10 documents leaves 10 to train on and 0 for reference"),
        ({"validation_fraction": 1.0}, "validation_fraction must lie strictly between 0 and 1, got 1.0"),
        ({"validation_fraction": 0.99}, "of 8 documents leaves 0 to train on and 8 for validation"),
        ({"validation_fraction": 0.01}, "of 8 documents leaves 8 to train on and 0 for validation"),
        (
            {"validation_fraction": 0.3, "validation": 500},
            "validation=500 asks for more blocks than the validation documents give, which is [0-9]+: lower it",
        ),
        ({"validation": 3}, "no documents are kept for them: give dataset.validation_fraction"),
        ({"reference_fraction": None}, "has no official test documents: give reference_fraction"),
    ],
)
def test_bad_arguments_are_refused(path: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small(path, **change).load()


def test_a_file_without_blank_lines_is_told_what_separates_documents(tmp_path: Path) -> None:
    file = tmp_path / "one.txt"
    file.write_text("\nThe fox saw.\nThe hare ran.\n\n")
    with pytest.raises(UserError, match=r"documents are separated by blank lines, and \S+one\.txt has none: put them"):
        small(str(file)).load()
    file.write_text("The fox saw.\n \nThe hare ran.\n")
    with pytest.raises(UserError, match="change the fraction or add documents"):
        small(str(file), validation_fraction=0.5, reference_fraction=0.5).load()


def test_bad_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"should be a \.txt or \.jsonl file, or a folder"):
        small(str(tmp_path / "absent.txt"))
    with pytest.raises(UserError, match=r"or a folder with \.txt files"):
        small(str(tmp_path))
    lines = tmp_path / "lines.jsonl"
    for text, message in [
        ('{"text": "a"}\n{"txt": "b"}', "line 2 of .* has no text in 'text': did you mean 'txt'"),
        ('{"text": "a"}\n\n{"text"', "line 3 of .* is not JSON"),
        ("[1]", "line 1 of .* should be an object"),
        ('{"text": 3}', "line 1 of .* has no text"),
    ]:
        lines.write_text(text)
        with pytest.raises(UserError, match=message):
            small(str(lines)).load()
    latin = tmp_path / "latin.txt"
    latin.write_bytes("naïve".encode("latin-1"))
    with pytest.raises(UserError, match="save it as UTF-8"):
        small(str(latin)).load()


def test_the_python_language_reference_is_read_from_the_running_python() -> None:
    data = PythonDocs(train=300, cache="absent")
    real = data.load()
    assert (len(real.train), data.spec.tokens and data.spec.tokens.size) == (300, 2048)
    assert len(real.reference) > 100
    assert int(real.train.data.max()) < 2048
    assert "Python" in text_of(real.train, data)
    assert data.key != PythonDocs(train=301, cache="absent").key


@pytest.mark.parametrize(
    ("name", "raw", "refusal"),
    [
        ("a.txt", b"some text\0and more", r"the text .*a\.txt has a NUL as its character 10.*save the text as UTF-8"),
        ("utf16.txt", "some text in UTF-16".encode("utf-16-le"), r"utf16\.txt has a NUL as its character 2"),
        ("a.jsonl", b'{"text": "good"}\n{"text": "a\\u0000b"}\n', r"line 2 of .*a\.jsonl has a NUL as its character 2"),
    ],
)
def test_a_text_with_a_nul_is_refused_by_name(tmp_path: Path, name: str, raw: bytes, refusal: str) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(UserError, match=refusal):
        small(str(tmp_path / name)).load()


def test_a_folder_of_texts_names_the_one_with_a_nul(tmp_path: Path) -> None:
    for name, raw in (("a.txt", b"good"), ("b.txt", b"\x7fELF\0\0")):
        (tmp_path / name).write_bytes(raw)
    with pytest.raises(UserError, match=r"the text .*b\.txt has a NUL as its character 5"):
        small(str(tmp_path)).load()
