"""What the class of an own metric says of itself: found without an import, and shown below its title."""

from __future__ import annotations

from pathlib import Path

import pytest

from collapse_lab.report import curves
from collapse_lab.report.plot import Caption
from collapse_lab.results.collect import gathered
from collapse_lab.results.own_classes import summary_of
from tests.results.memory_runs import METRIC, run

WARMTH = "seen/pixels/warmth"
SOURCE = '''
raise RuntimeError("this module is not to be imported")

class Warmth:
    """Measure the mean of the generated features less that of the real ones.

    It is 0 for sets that are alike.
    """

class Bare:
    pass
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a package `mine` with the modules `warmth` and `broken`, which fail in an import, on the path of Python."""
    (tmp_path / "mine").mkdir()
    for name, source in (("__init__", "raise RuntimeError"), ("warmth", SOURCE), ("broken", "class (")):
        (tmp_path / "mine" / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("own")
def test_the_caption_of_an_own_metric_has_the_first_line_of_its_class() -> None:
    metrics = {"warm": {"_target_": "mine.warmth.Bare"}, "warmth": {"_target_": "mine.warmth.Warmth"}}
    values = {METRIC: [1.0, 2.0], WARMTH: [1.0, 2.0], f"{WARMTH}_of_all": [1.0, 2.0], "seen/pixels/cold": [0.0, 1.0]}
    names = {name.key: name for name in gathered([run(values, metrics=metrics)]).names}
    line = "Measure the mean of the generated features less that of the real ones."
    assert names[WARMTH].summary == names[f"{WARMTH}_of_all"].summary == line
    assert Caption.of(names[WARMTH]) == Caption("Warmth", "seen prompts", "pixel features", line)
    section = curves.other_section(gathered([run({**values, WARMTH: [1.0, 3.0]}, metrics=metrics)]))
    assert section is not None
    assert section.body.count(f"<span>{line}</span>") == 2
    assert names[METRIC].summary == names["seen/pixels/cold"].summary == ""


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    "target", ["mine.warmth.Bare", "mine.warmth.Gone", "mine.broken.Warmth", "mine.gone.Warmth", "gone.Warmth", "bare"]
)
def test_a_class_without_a_docstring_or_a_source_has_no_line(target: str) -> None:
    assert summary_of(target) == ""
