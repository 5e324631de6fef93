"""What a source says of a constructor is what the class itself says."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import typing
from dataclasses import is_dataclass
from typing import Any

import pytest

from collapse_lab.config.binding import import_target
from collapse_lab.config.parameters import of_source, of_target
from tests.config.defaults import FILE
from tests.e2e.command import environment

# Every class that a file of conf/ names
CLASSES = sorted(json.loads(FILE.read_text()))


def spelled(hint: Any) -> str:
    """Return an annotation as text, a dataclass by its last name, because a stand-in takes its place in a source."""
    if inspect.isclass(hint) and is_dataclass(hint):
        return hint.__name__
    if typing.get_args(hint):
        return f"{typing.get_origin(hint)}[{', '.join(map(spelled, typing.get_args(hint)))}]"
    return type(hint).__name__ if type(hint).__name__ == "Infinite" else str(hint)


@pytest.mark.parametrize("path", CLASSES)
def test_the_source_of_a_class_says_what_the_class_takes(path: str) -> None:
    read, real = of_source(path), of_target(import_target(path, "conf"))
    assert read is not None
    assert (read.of, set(read.hints), set(read.required), read.takes_any) == (
        real.of,
        set(real.hints),
        set(real.required),
        real.takes_any,
    )
    differing = {name for name, hint in real.hints.items() if spelled(read.hints[name]) != spelled(hint)}
    # What is not read from a source is the class of a node, which is bound on its own
    assert {name for name in differing if read.hints[name] is not Any} == set()
    numbers = {name for name in differing if "float" in spelled(real.hints[name]) or "int" in spelled(real.hints[name])}
    assert numbers == set()


@pytest.mark.parametrize("path", ["collapse_lab.models.vae.Foo", "no.such.module.Class", "os.path.join", "math.sqrt"])
def test_what_has_no_source_or_another_shape_is_left_to_the_class_itself(path: str) -> None:
    read = of_source(path)
    assert read is None or read.hints == dict.fromkeys(read.hints, Any)


def test_reading_sources_imports_neither_torch_nor_lightning() -> None:
    code = f"""
import sys
from collapse_lab.config.parameters import of_source
assert all(of_source(path) is not None for path in {CLASSES})
print(sorted({{"torch", "pytorch_lightning", "diffusers", "transformers"}} & set(sys.modules)))
"""
    end = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert end.stdout.strip() == "[]"
