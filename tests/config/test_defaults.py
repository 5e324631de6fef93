"""No default changes while the version of its class stays, because keys leave out what equals a default."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from collapse_lab.config.schema import Root
from tests.config import defaults
from tests.config.defaults import COMMAND, breaches, committed, snapshot

PLAIN: dict[str, dict[str, Any]] = {
    "a.B": {"version": 1, "required": ["spec"], "defaults": {"size": 3, "inner": {"class": "a.C", "arguments": {}}}}
}


def test_no_default_changed_without_a_raised_version() -> None:
    lines = breaches(committed(), snapshot())
    assert not lines, "\n".join(lines)


def test_the_committed_snapshot_is_that_of_the_code() -> None:
    old, new = committed(), snapshot()
    changed = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    assert not changed, f"write the snapshot anew with `{COMMAND}`, and commit it; changed: {', '.join(changed)}"


def test_the_snapshot_holds_the_root_and_every_kind_of_plug_in() -> None:
    names = snapshot().keys()
    assert f"{Root.__module__}.Root" in names
    rooms = {name.split(".")[1] for name in names}
    assert {"models", "metrics", "datasets", "features", "mixing", "curation", "probes", "prompts", "sinks"} <= rooms
    assert "collapse_lab.nn.optimisation.Optimisation" in names
    assert snapshot()["collapse_lab.metrics.fid.FID"]["defaults"] == {"bootstrap": 200, "features": None}


def changed(**changes: Any) -> dict[str, dict[str, Any]]:
    plain = deepcopy(PLAIN)
    plain["a.B"].update(changes)
    return plain


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"defaults": {**PLAIN["a.B"]["defaults"], "size": 4}}, "a.B.size: the default changed from 3 to 4"),
        ({"defaults": {**PLAIN["a.B"]["defaults"], "size": None}}, "a.B.size: the default changed from 3 to None"),
        ({"defaults": {"size": 3}}, "a.B.inner: its default {'class': 'a.C', 'arguments': {}} is gone"),
        ({"required": []}, "a.B.spec: the argument is gone"),
        ({"required": ["spec", "way"]}, "a.B.way: a new argument has no default"),
    ],
)
def test_a_change_that_gives_old_keys_another_meaning_needs_a_raised_version(
    changes: dict[str, Any], line: str
) -> None:
    assert breaches(PLAIN, changed(**changes)) == [f"{line}, and the version of the class stayed; raise it"]
    assert breaches(PLAIN, changed(**changes, version=2)) == []


def test_true_is_not_one() -> None:
    (line,) = breaches(
        {"f": {"version": 0, "required": [], "defaults": {"x": 1}}},
        {"f": {"version": 0, "required": [], "defaults": {"x": True}}},
    )
    assert line.startswith("f.x: the default changed from 1 to True")


def test_a_raised_version_inside_a_default_needs_a_raised_version_around_it() -> None:
    # Because a node that equals the default is left out of the key of the class around it, with its version
    inner = {"class": "a.C", "version": 1, "arguments": {}}
    old = changed(defaults={"inner": inner})
    (line,) = breaches(old, changed(defaults={"inner": {**inner, "version": 2}}))
    assert line.startswith("a.B.inner: the default changed from")


def test_a_version_never_goes_down() -> None:
    assert breaches(PLAIN, changed(version=0)) == ["a.B: the version went down from 1 to 0"]


def test_new_arguments_with_a_default_and_new_classes_only_need_the_snapshot_anew() -> None:
    more = changed(defaults={**PLAIN["a.B"]["defaults"], "new": 1}) | {"a.D": PLAIN["a.B"]}
    assert breaches(PLAIN, more) == []
    assert breaches(PLAIN, {}) == []  # because the runs of a class that is gone are never asked for


def test_the_command_writes_the_snapshot_and_refuses_a_breach(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "defaults.json"
    monkeypatch.setattr(defaults, "FILE", file)
    assert defaults.main() == 0
    assert json.loads(file.read_text()) == snapshot()
    plain = committed()
    plain["collapse_lab.metrics.fid.FID"]["defaults"]["bootstrap"] = 199
    file.write_text(json.dumps(plain))
    assert defaults.main() == 1
    assert "collapse_lab.metrics.fid.FID.bootstrap: the default changed from 199 to 200" in capsys.readouterr().err
    assert json.loads(file.read_text()) == plain
