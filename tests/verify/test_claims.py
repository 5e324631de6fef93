"""Claims files: the shipped ones are complete, and a wrong one is refused with the key that is wrong."""

from __future__ import annotations

import inspect
import logging
import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from collapse_lab.config.binding import bind
from collapse_lab.config.composing import compose
from collapse_lab.config.signature import canonical
from collapse_lab.errors import UserError
from collapse_lab.experiment import prepare
from collapse_lab.verify import statistics
from collapse_lab.verify.__main__ import main
from collapse_lab.verify.cells import cells
from collapse_lab.verify.claims import Claim, read, shipped
from collapse_lab.verify.commands import commands
from collapse_lab.verify.measured import Measured
from tests.verify.made import FID, claim, claims_file

SHIPPED = [one for path in shipped() for one in read(path)]
COMMANDS = sorted({command for one in SHIPPED for command in commands(one)})


def test_every_shipped_claim_has_an_id_of_its_own() -> None:
    assert "nepotistic" in {path.stem for path in shipped()}
    assert len({(one.paper, one.id) for one in SHIPPED}) == len(SHIPPED)


def test_the_page_of_the_docs_is_that_of_the_judgements_kept_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docs = Path(__file__).parents[2] / "docs"
    main(["--earlier", str(docs / "claims.json"), "--markdown", str(tmp_path / "claims.md")])
    assert "has changed since it was judged" not in capsys.readouterr().err
    anew, page = ((folder / "claims.md").read_text().splitlines() for folder in (tmp_path, docs))
    assert anew[3:] == page[3:], (
        "write it anew: collapse-lab verify --earlier docs/claims.json --markdown docs/claims.md"
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_the_configuration_of_a_command_composes_and_binds(command: str) -> None:
    words = shlex.split(command)
    assert words[:4] == ["python", "-m", "collapse_lab", "-m"]
    line = [_first(word) for word in words[4:]]
    cfg = compose(*line).cfg
    assert f"+experiment={cfg.name}" == line[0]
    plain = canonical(cfg)
    for node in ("mixing", "curation"):
        bind(plain[node], node)


def _first(word: str) -> str:
    """Return an override with the first value of its sweep, because only the sweeper reads commas."""
    override = OverridesParser.create().parse_override(word)
    return (
        f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}"
        if override.is_sweep_override()
        else word
    )


def test_groups_that_differ_in_one_setting_are_one_command_and_others_one_command_each(tmp_path: Path) -> None:
    groups: dict[str, dict[str, Any]] = {"a": {"ratio": 0.5, "curation": "histogram"}, "b": {"ratio": 0}}
    one, two, three = read(
        claims_file(
            tmp_path / "c.yaml",
            claim(),
            claim(id="two", groups=groups, arguments={"metric": FID, "group": "a", "control": "b"}),
            claim(
                id="three",
                groups={"a": {"experiment": "nepotistic_healing", "dataset.templates": ["a {}", "b, {}"]}},
                statistic="rate",
                arguments={"metric": FID, "group": "a"},
            ),
        )
    )
    assert commands(one) == ["python -m collapse_lab -m +experiment=nepotistic ratio=1,0 seed=0,1,2"]
    assert len(commands(two)) == 2
    words = shlex.split(commands(three)[0])
    cfg = compose(*words[4:6]).cfg
    assert cfg.name == "nepotistic_healing"
    assert list(cfg.dataset.templates) == ["a {}", "b, {}"]


def test_no_claim_has_a_verdict_of_its_own(tmp_path: Path) -> None:
    assert "verdict" not in {field.name for field in fields(Claim)}
    for key in ("verdict", "judgement", "result"):
        with pytest.raises(UserError, match=f"rises: unknown key '{key}'"):
            read(claims_file(tmp_path / "c.yaml", claim(**{key: "reproduced"})))


def test_every_statistic_is_documented_and_takes_groups() -> None:
    assert {"difference", "ratio", "change", "growth", "times_floor", "rate", "time_to_collapse", "half_life"} <= set(
        statistics.known()
    )
    for name, function in statistics.known().items():
        assert function.__doc__, name
        assert next(iter(inspect.signature(function).parameters)) == "groups", name
        assert inspect.get_annotations(function, eval_str=True)["return"] is Measured, name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"statistic": "ration"}, "no statistic 'ration'; did you mean 'ratio'"),
        ({"arguments": {"metric": FID, "group": "dosed", "kontrol": "control"}}, "no argument 'kontrol'"),
        ({"arguments": {"metric": FID, "group": "dosed"}}, "ratio needs control"),
        ({"arguments": {"metric": FID, "group": "doses", "control": "control"}}, "not one of its groups; did you mean"),
        ({"arguments": {"metric": "fid", "group": "dosed", "control": "control"}}, "<subset>/<features>/<metric>"),
        (
            {"arguments": {"metric": FID, "group": "dosed", "control": "control", "generation": "five"}},
            "generation takes int or null; got 'five'",
        ),
        ({"arguments": None}, "'arguments' should be a mapping"),
        ({"needed": {"at_least": "much"}}, "'needed' should be one of"),
        ({"needed": {"between": [1, 0]}}, "'needed' should be one of"),
        ({"needed": {"at_least": 1, "at_most": 2}}, "'needed' should be one of"),
        ({"needed": {"above": 1}}, "'needed' should be one of"),
        ({"known_from": "hearsay"}, "known_from 'hearsay' is not a known kind of source"),
        ({"groups": {}}, "'groups' should name each group"),
        ({"groups": {"dosed": 1}}, "'groups' should name each group"),
        ({"claim": ""}, "'claim' should be a text"),
        ({"group": {}}, "unknown key 'group'; did you mean 'groups'"),
        ({"setting": [1]}, "'setting' should be a mapping"),
        ({"seeds": 3}, "'seeds' should be a list of whole numbers"),
        ({"post_hoc": "yes"}, "'post_hoc' should be true or false"),
        ({"condition": {"statistic": "level"}}, "condition: arguments, needed are missing"),
        (
            {
                "condition": {
                    "statistic": "level",
                    "arguments": {"metric": FID, "group": "none"},
                    "needed": {"at_least": 1},
                }
            },
            "condition: group 'none' is not one of its groups",
        ),
    ],
)
def test_a_wrong_claim_is_refused_with_its_key(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as refused:
        read(claims_file(tmp_path / "mine.yaml", claim(**changes)))
    assert "mine.yaml, rises" in str(refused.value)
    assert message in str(refused.value)


def test_a_wrong_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    for text, message in (("{", "cannot be read"), ("[]", "should be a mapping"), ("title: x", "are missing")):
        path.write_text(text)
        with pytest.raises(UserError, match=message):
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


def test_linear_models_converge_is_judged_where_the_spectral_radius_is_below_1(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The settings determine the radius, and no ledger has it, so the claim cannot ask for it."""
    converges = next(one for one in SHIPPED if one.id == "linear_models_converge")
    (cell,) = cells(converges).values()
    for seed in converges.seeds:
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="collapse_lab"):
            prepare(compose(*cell.line, f"seed={seed}", "generations=1", f"paths.runs={tmp_path}"))
        (radius,) = re.findall(r"the spectral radius of an update is ([0-9.]+)\b", caplog.text)
        assert 0.5 < float(radius) < 1
