"""Claims files: what is shipped is whole, and a wrong one is refused with the key that is wrong."""

from __future__ import annotations

import inspect
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

from collapse_lab.cli.app import CONF
from collapse_lab.config import schema
from collapse_lab.errors import UserError
from collapse_lab.results.names import Name
from collapse_lab.verify import statistics
from collapse_lab.verify.cells import commands
from collapse_lab.verify.claims import SOURCES, Claim, read, shipped
from collapse_lab.verify.measured import Measured
from tests.verify.made import FID, claim, claims_file

SHIPPED = [each for path in shipped() for each in read(path)]
COMMANDS = sorted({command for each in SHIPPED for command in commands(each)})


def test_papers_are_shipped() -> None:
    assert "nepotistic" in {path.stem for path in shipped()}
    assert len({(each.paper, each.id) for each in SHIPPED}) == len(SHIPPED)


@pytest.mark.parametrize("each", SHIPPED, ids=lambda each: f"{each.paper}-{each.id}")
def test_a_shipped_claim_is_whole(each: Claim) -> None:
    assert set(each.known_from) <= set(SOURCES)
    assert "arXiv:" in each.source or "doi:" in each.source
    assert all(Name.of(metric).quantity is not None for metric in each.metrics), "no such metric"
    for name in each.cells:
        assert name in each.arguments.values()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_composes_and_binds(command: str) -> None:
    words = shlex.split(command)
    assert words[:4] == ["python", "-m", "collapse_lab", "-m"]
    line = [_first(word) for word in words[4:]]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", line)
    assert f"+experiment={cfg.name}" == line[0]
    schema.check_shortcuts(cfg, line)
    schema.read_root(cfg)
    plain = schema.canonical(cfg)
    for part in ("mixing", "curation"):
        schema.bind(plain[part], part)


def _first(word: str) -> str:
    """The first value of a sweep, whose commas only the sweeper takes."""
    override = OverridesParser.create().parse_override(word)
    return (
        f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}"
        if override.is_sweep_override()
        else word
    )


def test_a_sweep_of_one_setting_is_one_command_and_others_one_for_each_cell(tmp_path: Path) -> None:
    cells: dict[str, dict[str, Any]] = {"a": {"ratio": 0.5, "curation": "histogram"}, "b": {"ratio": 0}}
    one, two, three = read(
        claims_file(
            tmp_path / "c.yaml",
            claim(),
            claim(id="two", cells=cells, arguments={"metric": FID, "cell": "a", "control": "b"}),
            claim(
                id="three",
                cells={"a": {"experiment": "nepotistic_healing", "dataset.templates": ["a {}", "b, {}"]}},
                statistic="rate",
                arguments={"metric": FID, "cell": "a"},
            ),
        )
    )
    assert commands(one) == ["python -m collapse_lab -m +experiment=nepotistic ratio=1,0 seed=0,1,2"]
    assert len(commands(two)) == 2
    words = shlex.split(commands(three)[0])
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", words[4:6])
    assert cfg.name == "nepotistic_healing"
    assert list(cfg.dataset.templates) == ["a {}", "b, {}"]


def test_no_claim_has_a_verdict_of_its_own(tmp_path: Path) -> None:
    assert "verdict" not in {field.name for field in fields(Claim)}
    for key in ("verdict", "judgement", "result"):
        with pytest.raises(UserError, match=f"rises: unknown key '{key}'"):
            read(claims_file(tmp_path / "c.yaml", claim(**{key: "reproduced"})))


def test_every_statistic_says_what_it_is_and_takes_a_metric() -> None:
    assert {"difference", "ratio", "change", "growth", "times_floor", "rate", "time_to_collapse", "half_life"} <= set(
        statistics.known()
    )
    for name, function in statistics.known().items():
        assert function.__doc__, name
        assert next(iter(inspect.signature(function).parameters)) == "cells", name
        assert inspect.get_annotations(function, eval_str=True)["return"] is Measured, name


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"statistic": "ration"}, "no statistic 'ration'; did you mean 'ratio'"),
        ({"arguments": {"metric": FID, "cell": "dosed", "kontrol": "control"}}, "no argument 'kontrol'"),
        ({"arguments": {"metric": FID, "cell": "dosed"}}, "ratio needs control"),
        ({"arguments": {"metric": FID, "cell": "doses", "control": "control"}}, "none of its cells; did you mean"),
        ({"arguments": {"metric": "fid", "cell": "dosed", "control": "control"}}, "<subset>/<features>/<metric>"),
        (
            {"arguments": {"metric": FID, "cell": "dosed", "control": "control", "generation": "five"}},
            "generation takes int or null; got 'five'",
        ),
        ({"arguments": None}, "'arguments' should be a mapping"),
        ({"needed": {"at_least": "much"}}, "'needed' should be one of"),
        ({"needed": {"between": [1, 0]}}, "'needed' should be one of"),
        ({"needed": {"at_least": 1, "at_most": 2}}, "'needed' should be one of"),
        ({"needed": {"above": 1}}, "'needed' should be one of"),
        ({"known_from": "hearsay"}, "known_from 'hearsay' is no kind of source"),
        ({"cells": {}}, "'cells' should name each cell"),
        ({"cells": {"dosed": 1}}, "'cells' should name each cell"),
        ({"claim": ""}, "'claim' should be a text"),
        ({"cell": {}}, "unknown key 'cell'; did you mean 'cells'"),
    ],
)
def test_a_wrong_claim_is_refused_with_the_key(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as refused:
        read(claims_file(tmp_path / "mine.yaml", claim(**changes)))
    assert "mine.yaml, rises" in str(refused.value)
    assert said in str(refused.value)


def test_a_wrong_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    for text, said in (("{", "cannot be read"), ("[]", "should be a mapping"), ("title: x", "are missing")):
        path.write_text(text)
        with pytest.raises(UserError, match=said):
            read(path)
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="two claims have the id 'rises'"):
        read(claims_file(path, claim(), claim()))
    with pytest.raises(UserError, match="list of whole numbers"):
        read(claims_file(path, claim(), seeds=["a"]))
    with pytest.raises(UserError, match="not empty"):
        read(claims_file(path))
    missing = claim()
    del missing["size"]
    with pytest.raises(UserError, match="size is missing"):
        read(claims_file(path, missing))
