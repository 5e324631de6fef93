from typing import Any

import pytest

from collapse_lab.config.binding import bind
from collapse_lab.errors import UserError

NAN = float("nan")
INFINITE = float("inf")


@pytest.mark.parametrize(
    ("target", "argument", "value", "message"),
    [
        ("digits.Digits", "limit", 0, "dataset.limit is 1 or more; got 0"),
        ("digits.Digits", "image_size", 0, "dataset.image_size is 1 or more; got 0"),
        ("emoji.Emoji", "image_size", 0, "dataset.image_size is 1 or more; got 0"),
        ("normal.Normal", "replicas", 0, "dataset.replicas is 1 or more; got 0"),
        ("normal.Normal", "rows", 0, "dataset.rows is 1 or more; got 0"),
        ("mixture.Mixture", "seed", -1, "dataset.seed is 0 or more; got -1"),
        ("normal.Normal", "dimension", 0, "dataset.dimension is 1 or more; got 0"),
        ("categories.Categories", "categories", 0, "dataset.categories is 1 or more; got 0"),
        ("categories.Categories", "exponent", -1.0, "dataset.exponent is 0 or more; got -1.0"),
        ("categories.Categories", "exponent", INFINITE, "dataset.exponent takes a finite number"),
        ("regression.Regression", "dimension", 0, "dataset.dimension is 1 or more; got 0"),
        ("regression.Regression", "noise", 0.0, "dataset.noise is above 0; got 0.0"),
        ("regression.Regression", "noise", INFINITE, "dataset.noise takes a finite number"),
        ("python_docs.PythonDocs", "train", 0, "dataset.train is 1 or more; got 0"),
        ("python_docs.PythonDocs", "reference", 0, "dataset.reference is 1 or more; got 0"),
        ("cub200.CUB200", "crop", "tight", "dataset.crop is one of box, centre; got 'tight'"),
        ("cub200.CUB200", "margin", -0.1, "dataset.margin is 0 or more; got -0.1"),
        ("cub200.CUB200", "margin", NAN, "dataset.margin takes a finite number"),
        ("hub.Hub", "channels", 4, "dataset.channels takes 1, 3; got 4"),
        ("hub.Hub", "on_bad", "ignore", "dataset.on_bad is one of refuse, skip; got 'ignore'"),
        ("imagefolder.ImageFolder", "channels", 4, "dataset.channels takes 1, 3; got 4"),
        ("imagefolder.ImageFolder", "on_bad", "ignore", "dataset.on_bad is one of refuse, skip; got 'ignore'"),
    ],
)
def test_values_out_of_range_are_refused_before_construction(
    target: str, argument: str, value: Any, message: str
) -> None:
    required = {"hub.Hub": {"name": "folder"}, "imagefolder.ImageFolder": {"root": "x"}, "cub200.CUB200": {"root": "x"}}
    node = {"_target_": f"collapse_lab.datasets.{target}", **required.get(target, {}), argument: value}
    with pytest.raises(UserError, match=message):
        bind(node, "dataset")


def test_an_unknown_part_of_held_out_is_refused_before_construction() -> None:
    node = {"_target_": "collapse_lab.prompts.HeldOut", "fraction": 0.5, "part": "seen"}
    with pytest.raises(UserError, match=r"unseen\.part is one of in, out; got 'seen'"):
        bind(node, "unseen")
