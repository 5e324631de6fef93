from __future__ import annotations

import pytest

from collapse_lab.config.composing import compose
from collapse_lab.config.repeated import check_repeated
from collapse_lab.errors import UserError


@pytest.mark.parametrize(
    "value", ["{a:{},a:{}}", "{a: {}, b: {x: 1}, 'a': {}}", "{b:[1,{c:1,d:2,c:3}]}", '{"a":1,"a":2}', "{a:x(1),a:2}"]
)
def test_a_key_that_is_there_twice_is_refused(value: str) -> None:
    with pytest.raises(UserError, match=r"population.members has the key '[ac]' twice"):
        check_repeated(f"population.members={value}")


@pytest.mark.parametrize(
    "value", ["{a:{a:1},b:{a:1}}", "[{a:1},{a:1}]", "{a:'a:1,a:2'}", "a:b", "", "choice(a,b)", "{a:b,c:a}"]
)
def test_keys_of_different_mappings_may_be_the_same(value: str) -> None:
    check_repeated(f"population.members={value}")


def test_two_members_of_one_name_are_refused_when_a_run_is_composed() -> None:
    with pytest.raises(UserError, match=r"population\.members has the key 'a' twice"):
        compose("+experiment=interacting_linear", "population.members={a:{},a:{},b:{}}")
