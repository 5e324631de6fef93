"""Prompts that the user writes: into a file, or as templates with lists of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from collapse_lab.config.composing import compose
from collapse_lab.config.signature import resolved
from collapse_lab.datasets.digits import Digits
from collapse_lab.engine.view import viewed
from collapse_lab.errors import UserError
from collapse_lab.experiment import prepare
from collapse_lab.prompts import File, Template
from collapse_lab.types import Captions, RealData, Rows, Samples, Spec

SPEC = Spec("image", (1,), ("cat", "dog"))
EVERY = {"colour": ["red", "1"], "thing": ["car", "bus"]}
LONG = {slot: [str(i) for i in range(101)] for slot in "abc"}
FACES = ("young asian man", "young asian woman", "old asian man", "old asian woman")

THIRTY = Template(
    ["a photo of a {age} {group} {person}"],
    {
        "age": ["young", "middle-aged", "old"],
        "group": ["asian", "black", "hispanic", "indian", "white"],
        "person": ["man", "woman"],
    },
).prompts


def rows(texts: Sequence[str], labels: Sequence[int]) -> Samples[Rows]:
    return viewed(Samples(torch.zeros(len(texts), 1), np.array(labels, np.int64), Captions.of(texts)))


TRAIN = rows(["a photo of a dog", "a cat at night", "a bird", "a photo of a dog"], [1, 0, -1, 1])


def written(folder: Path, text: str | bytes, name: str = "prompts.txt") -> File:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return File(str(path))


def test_prompts_of_a_text_file_come_in_its_order(tmp_path: Path) -> None:
    prompts = written(tmp_path, "# mine\na photo of a dog\n\n  a red car \r\na cat at night\n")
    conditions = prompts.conditions(4, TRAIN, SPEC)
    assert conditions.captions.texts() == ["a photo of a dog", "a red car", "a cat at night", "a photo of a dog"]
    assert conditions.labels.tolist() == [1, -1, 0, 1]


def test_the_rows_of_listed_prompts_are_those_with_such_captions_or_all(tmp_path: Path) -> None:
    assert written(tmp_path, "a bird\na cat at night").member(TRAIN).tolist() == [False, True, True, False]
    assert written(tmp_path, "a red car").member(TRAIN).all()


def test_listed_prompts_have_a_reference_if_a_reference_row_has_one_as_its_caption() -> None:
    other = rows(["a red car"], [-1])
    assert Template(["a bird"]).has_reference(RealData(other, TRAIN))
    assert not Template(["a bird"]).has_reference(RealData(TRAIN, other))
    plain = viewed(Samples(torch.zeros(1, 1), np.array([0]), Captions()))
    assert not Template(["a bird"]).has_reference(RealData(plain, plain))


def test_a_prompt_takes_the_label_of_its_rows_before_that_of_its_words() -> None:
    train = rows(["a dog and a cat", "a dog and a cat"], [1, 0])
    conditions = Template(["a dog and a cat", "the dog", "a fish"]).conditions(3, train, SPEC)
    assert conditions.labels.tolist() == [0, 1, -1]


def test_templates_are_filled_with_every_combination(tmp_path: Path) -> None:
    expected = ("a red car", "a red bus", "a 1 car", "a 1 bus", "the car", "the bus")
    assert Template(["a {colour} {thing}", "the {thing}"], EVERY).prompts == expected
    text = 'templates: ["a {colour} {thing}", "the {thing}"]\nslots: {colour: [red, 1], thing: [car, bus]}'
    assert written(tmp_path, text, "prompts.yaml").prompts == expected
    assert written(tmp_path, 'templates: ["a car"]', "plain.yml").prompts == ("a car",)


@pytest.mark.parametrize(
    ("templates", "slots", "message"),
    [
        ([], {}, r"should hold templates, and holds none: write templates"),
        (["a car", " "], {}, r"holds an empty one: write templates"),
        (["a {color}"], {"colour": ["red"]}, r"a slot \{color\} without words: did you mean 'colour'\?"),
        (["a {color}"], {}, r"a slot \{color\} without words: write slots: \{color: \[red, blue\]\}"),
        (["a {c}"], {"c": []}, r"should list one word or more for the slot \{c\}, got \[\]"),
        (["a {c}"], {"c": ["red", ""]}, r"should list one word or more for the slot \{c\}, got \['red', ''\]"),
        (["a {c}"], {"c": ["red"], "d": ["x"]}, r"words for 'd', and no template has the slot \{d\}: remove them"),
        (["a {two words}"], {}, r"the slots of 'a \{two words\}' should be single words in braces"),
        (["a {c}"], {"c": ["red", "blue", "red"]}, r"gives the prompt 'a red' twice: remove one of the two"),
        (["{a}{b}{c}"], LONG, r"makes 1,030,301 prompts, and at most 1,"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_templates_that_cannot_be_filled_are_refused(
    templates: list[str], slots: Mapping[str, list[str]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        Template(templates, slots)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "", "should hold one prompt per line, and holds none: write some"),
        ("a.txt", "# a comment\n\n", "holds none"),
        ("a.txt", "a dog\na cat\na dog \n", "gives the prompt 'a dog' twice: remove one of the two"),
        ("a.txt", "a {thing}", r"a slot without words in 'a \{thing\}': write a file that ends in \.yaml"),
        ("a.txt", b"\xff\xd8\xff\xe0 picture", "should be text in UTF-8, and is not .* save it as such"),
        ("a.txt", b"a dog\0\0", "should be text in UTF-8, and holds zero bytes: save it as such"),
        ("a.yaml", "templates: word", "should hold lists of texts"),
        ("a.yaml", "", "should hold lists of texts"),
        ("a.yaml", "templates: [", "is not yaml"),
        ("a.yaml", "templates: []", "holds none"),
        ("a.yaml", 'templates: ["a {word}"]\nslots: {word: [yes, no]}', "should hold lists of texts"),
        ("a.yaml", 'templates: ["a {word}"]\nslots: {words: [red]}', "did you mean 'words'"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value,
)
def test_a_file_that_gives_no_prompts_is_refused(tmp_path: Path, name: str, text: str | bytes, message: str) -> None:
    prompts = written(tmp_path, text, name)
    with pytest.raises(UserError, match=message) as refusal:
        prompts.bind(SPEC)
    assert "\n" not in str(refusal.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.txt", tmp_path):
        with pytest.raises(UserError, match=r"cannot be read .*: correct the path"):
            File(str(path)).bind(SPEC)
    with pytest.raises(UserError, match="positive number"):
        Template(["a car"]).conditions(0, TRAIN, SPEC)


def test_the_template_of_the_paper_has_thirty_groups() -> None:
    sets = resolved(compose("prompts=template").cfg)["prompts"]["sets"]
    seen, unseen = (Template(sets[name]["templates"], sets[name]["slots"]).prompts for name in ("seen", "unseen"))
    assert len(seen) == 30
    assert {f"a photo of a {face}" for face in FACES} <= set(seen)
    assert not set(seen) & set(unseen)


def test_held_out_prompts_of_faces_ask_for_the_groups_of_the_paper_in_words_of_their_own() -> None:
    sets = resolved(compose("prompts=faces").cfg)["prompts"]["sets"]
    held_out = Template(sets["held_out"]["templates"], sets["held_out"]["slots"])
    groups = [text.removeprefix("a photo of a ") for text in THIRTY]
    faces = rows(THIRTY, list(range(30)))
    conditions = held_out.conditions(60, faces, Spec("image", (1,), tuple(groups)))
    assert np.bincount(conditions.labels, minlength=30).tolist() == [2] * 30
    assert not held_out.has_reference(RealData(faces, faces))


RUN = ["device=cpu", "sinks=[]", "features=[pixels]", "metrics=[fid]", "n_train=20", "n_samples=20"]
RUN += ["trainer.epochs=null", "trainer.steps=1", "ratio=0.5"]


def test_words_are_the_other_half_of_their_captions(tmp_path: Path) -> None:
    words = compose(*RUN, "prompts=words", "prompts.sets.seen.words=[Two]", f"paths.runs={tmp_path}")
    lab = prepare(words).layout.lab
    data = Digits(reference_fraction=0.3, templates=lab.dataset.templates).load()  # type: ignore[attr-defined]
    assert lab.members_of("unseen")[1].tolist() == (data.reference.labels == 2).tolist()
    assert lab.members_of("seen")[1].tolist() == (data.reference.labels != 2).tolist()


def test_files_are_checked_before_anything_is_computed(tmp_path: Path) -> None:
    (tmp_path / "seen.txt").write_text("a red car\na blue car\n")
    (tmp_path / "unseen.txt").write_text("a green car\na blue car\n")
    paths = [f"prompts.sets.{name}.path={tmp_path / name}.txt" for name in ("seen", "unseen")]
    line = [*RUN, "prompts=file", *paths, f"paths.runs={tmp_path}"]
    with pytest.raises(UserError, match=r"^the prompt 'a blue car' is in the sets 'seen', which is .* and 'unseen'"):
        prepare(compose(*line))
    (tmp_path / "unseen.txt").write_text("")
    with pytest.raises(UserError, match=r"unseen\.txt should hold one prompt per line, and holds none"):
        prepare(compose(*line))
    with pytest.raises(UserError, match=r"^prompts\.sets\.seen\.path has to be given"):
        compose("prompts=file", paths[1])
