"""Names that become parts of paths, and the paths of a run."""

from __future__ import annotations

import pytest

from collapse_lab import compose
from collapse_lab.config.names import LONGEST, check_name
from collapse_lab.errors import UserError


@pytest.mark.parametrize("name", ["x", "nepotistic", "ratio 0.1", "é", "a.b", "x" * LONGEST])
def test_a_plain_name_is_accepted(name: str) -> None:
    check_name("name", name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".store", "../../x", "/x", "a/b", "a\\b", "a\nb", "a\0b", " a", "x" * (LONGEST + 1), 5, None],
)
def test_every_other_name_is_refused(name: object) -> None:
    with pytest.raises(UserError, match="is part of a path"):
        check_name("name", name)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("name=../../x", "^name is part of a path"),
        ("name=sweeps", "the folder of sweeps"),
        ("name=.store", "^name is part of a path"),
        ("name=''", "^name is part of a path"),
        ("+population.members={../../x: {}}", "a name in population.members is part of a path"),
        ("+prompts.sets={../../x: {}}", "a name in prompts.sets is part of a path"),
        ("paths.runs=''", r"paths\.runs is a folder; got ''"),
        ("paths.store=null", r"paths\.store is a folder; got None"),
        ("paths.data=' '", r"paths\.data is a folder"),
    ],
)
def test_a_configuration_with_such_a_name_is_refused(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        compose("+experiment=nepotistic", override)


def test_a_member_without_changes_may_be_null() -> None:
    assert compose("+experiment=nepotistic", "population.members.model=null").root.name == "nepotistic"
