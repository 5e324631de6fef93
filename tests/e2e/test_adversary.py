"""An adversary's command lines: each is refused in one line that says what is wrong, before anything is computed.

The lines run in this process, by the program's own `main`, because a process for each would import torch 200 times.
`adversary.tsv` holds them: a base, a command line, and the words that the refusal contains, around `…`.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from collapse_lab import memory
from collapse_lab.cli import main as command
from collapse_lab.config import searchpath
from collapse_lab.config.binding import bind, import_target
from collapse_lab.config.parameters import of_target
from collapse_lab.errors import UserError
from collapse_lab.storage.store import Store
from tests.nursery import Nursery

TINY = (
    "n_train=32 n_samples=16 trainer.steps=2 trainer.finetune_steps=1 model.sampler.steps=1 features.classifier.steps=2"
)
BASES = {
    "images": f"+experiment=nepotistic +scale=tiny {TINY} generations=1 metrics=[fid] device=cpu sinks=console",
    "points": "+experiment=recursive_gaussian model.replicas=10 generations=3 device=cpu sinks=[]",
    "tokens": "+experiment=recursive_lm device=cpu sinks=[] generations=1 n_train=20 dataset.reference=20 "
    "trainer.epochs=null trainer.steps=1",
    "-": "",
}
TABLE = [line.split("\t") for line in Path(__file__).with_name("adversary.tsv").read_text().splitlines()]
SECRET = "s3cret" + 10 * "0"


@dataclass(frozen=True)
class End:
    code: int
    out: str
    err: str


Start = Callable[..., End]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Start:
    """Return the program: it runs a command line in this process and computes no stage."""

    def refuse_to_compute(self: Store, kind: str, key: str, *_: Any) -> None:
        raise AssertionError(f"{kind}/{key} would be computed")

    def started(base: str, *arguments: str) -> End:
        words = [*shlex.split(BASES[base]), *arguments]
        options = [word for word in words if word.startswith("--config-dir")]
        runs = [] if options == words else [f"paths.runs={tmp_path}/runs"]
        monkeypatch.setattr(sys, "argv", ["collapse_lab", *words, *runs])
        code = 0
        try:
            command.main()
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return End(code, said.out, said.err)

    for name in ("COLLAPSE_LAB_SWEEP", "HYDRA_FULL_ERROR", "COLLAPSE_LAB_LAUNCHER"):
        monkeypatch.setenv(name, os.environ.get(name, ""))  # so that what `main` sets is taken back
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(Store, "obtain", refuse_to_compute)
    monkeypatch.setattr(searchpath, "_user", [])
    monkeypatch.setattr(memory, "installed", lambda: 16 * 10**9)  # so that a machine with more refuses the same
    monkeypatch.chdir(tmp_path)
    return started


def assert_refused(end: End, folder: Path, *words: str) -> None:
    assert end.code == 2, end
    assert len(end.err.splitlines()) == 1, end.err
    assert end.err.startswith("collapse_lab: ")
    for word in words:
        assert word in end.err
    assert [path.name for path in folder.rglob("*") if path.suffix != ".yaml"] == []


def _lines() -> Iterator[Any]:
    """Yield each line of the table; one that is refused in the words of an earlier line, of another knob, is slow."""
    known = set()
    for base, line, words in TABLE:
        without_value = words.partition("; got ")[0]
        without_knob = re.sub(r"^(\S+: )?\S+ (takes|is) ", r"\2 ", without_value)
        kind = base, re.sub(r"-?\d+(\.\d+)?", "#", without_knob)
        marks = pytest.mark.slow if kind in known else ()
        yield pytest.param(base, line, words, id=f"{base}: {line}"[:90], marks=marks)
        known.add(kind)


@pytest.mark.parametrize(("base", "line", "words"), _lines())
def test_a_wrong_line_is_refused_in_one_line(base: str, line: str, words: str, start: Start, tmp_path: Path) -> None:
    assert_refused(start(base, *shlex.split(line)), tmp_path, *words.split(" … "))


def test_the_table_holds_at_least_150_lines() -> None:
    assert len({(base, line) for base, line, _ in TABLE}) >= 150


PROBES = sorted(path.stem for path in (searchpath.CONF / "probes").glob("*.yaml"))
# The probes that the families of the bases admit; an own data set or family may admit others
ADMITTED = {"images": {"denoising"}, "points": {"likelihood", "moments"}, "tokens": {"perplexity", "text_diversity"}}


def _one_base_each() -> Iterator[Any]:
    """Yield each probe with each base, of which all but one, in turn, are slow."""
    bases = sorted(ADMITTED)
    for number, (probe, base) in enumerate(product(PROBES, bases)):
        quick = number % len(bases) == (number // len(bases)) % len(bases)
        yield pytest.param(base, probe, id=f"{base}-{probe}", marks=[] if quick else pytest.mark.slow)


@pytest.mark.parametrize(("base", "probe"), _one_base_each())
def test_a_probe_of_another_modality_is_refused_before_the_run(
    base: str, probe: str, start: Start, tmp_path: Path
) -> None:
    end = start(base, f"probes=[{probe}]", "dry_run=true")
    if end.code == 0:
        assert "nothing was computed" in end.out
        return
    assert probe not in ADMITTED[base], end.err
    assert_refused(end, tmp_path, "probes")


def nodes() -> list[tuple[str, dict[str, Any]]]:
    """Return every node of every file of conf/, and the file that it stands in."""
    found = []
    for file in sorted(searchpath.CONF.rglob("*.yaml")):
        # Not by OmegaConf, whose reader takes seconds for all files, in every process that collects tests
        loaded = yaml.load(file.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        found += [(file.relative_to(searchpath.CONF).as_posix(), node) for node in _inside(loaded)]
    return found


def _inside(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, dict):
        own = [node] if str(node.get("_target_", "")).startswith("collapse_lab.") else []
        return own + [inner for value in node.values() for inner in _inside(value)]
    return [inner for value in node for inner in _inside(value)] if isinstance(node, list) else []


FLOATS = sorted(
    {
        (str(node["_target_"]), name)
        for _, node in nodes()
        for name, hint in of_target(import_target(node["_target_"], "conf")).hints.items()
        if "float" in str(hint)
    }
)


@pytest.mark.parametrize(("target", "name"), FLOATS)
def test_no_float_of_any_class_takes_what_is_not_finite(target: str, name: str) -> None:
    parameters = of_target(import_target(target, "conf"))
    others = {other: 1 for other in parameters.required if other != name}
    for value in (float("nan"), float("-inf"), float("inf")):
        wanted = f"x.{name} takes a finite number; got {value}"
        if value == float("inf") and "Infinite" in str(parameters.hints[name]):
            assert bind({"_target_": target, **others, name: value}, "x")["arguments"][name] == str(value)
            continue
        with pytest.raises(UserError) as refusal:
            bind({"_target_": target, name: value, **others}, "x")
        assert str(refusal.value) == wanted


@pytest.mark.parametrize(
    ("base", "line"),
    [
        ("images", "metrics=[vendi] metrics.vendi.q=inf"),
        ("points", "n_train=10 generations=1500"),  # more than Python has frames
        ("points", "n_train=3"),
        ("images", "seed=100000000000000000000000000000000000000"),
        ("images", "generations=0"),
    ],
)
def test_an_odd_line_that_is_right_has_a_plan(base: str, line: str, start: Start) -> None:
    end = start(base, *line.split(), "dry_run=true")
    assert (end.code, end.err) == (0, "")
    assert end.out.splitlines()[-1].endswith("nothing was computed")


OWN = """
_target_: collapse_lab.models.vae.VAE
channels: 8
latent: 4
optimisation:
  _target_: collapse_lab.nn.optimisation.Optimisation
  lr: 0.001
  lr_schedule: constant
  weight_decay: 0.0
  warmup: 0.0
"""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("model=myva", "unknown value 'myva' of model; did you mean 'myvae'?"),
        ("model=myvae model.lattent=3", "did you mean 'model.latent'?"),
        ("model=myvae model.optimisation.lr=.nan", "model.optimisation.lr takes float; got '.nan'"),
        ("model=myvae model.chanels=3", "did you mean 'model.channels'?"),
    ],
)
def test_suggestions_come_from_the_folder_that_the_user_names(
    line: str, words: str, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "mine/model").mkdir(parents=True)
    (tmp_path / "mine/model/myvae.yaml").write_text(OWN)
    end = start("-", f"--config-dir={tmp_path}/mine", "+experiment=nepotistic", *line.split())
    assert end.code == 2
    assert words in end.err
    assert len(end.err.splitlines()) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        f"+sinks.own.token={SECRET}[",  # not of Hydra's grammar
        f"sinks.own.token={SECRET}",  # there is no such key
        f"+sinks.own={{_target_: tests.e2e.tokened.Tokened, token: [{SECRET}]}}",  # of another type
        f"sinks.console.token={{a: {SECRET}}}",
    ],
)
def test_no_refusal_shows_a_secret(wrong: str, start: Start) -> None:
    end = start("images", wrong)
    assert end.code == 2
    assert len(end.err.splitlines()) == 1
    assert SECRET not in end.out + end.err


def test_an_error_inside_a_job_shows_no_secret(nursery: Nursery, tmp_path: Path) -> None:
    own = ["+sinks.own._target_=tests.e2e.tokened.Absent", f"+sinks.own.token={SECRET}"]
    broken = ["+sinks.own._target_=tests.e2e.tokened.Broken", f"+sinks.own.token={SECRET}"]
    for sink, words in ((own, "Absent"), (broken, "the service refuses the token ***")):
        end = nursery.run([*shlex.split(BASES["points"]), *sink, f"paths.runs={tmp_path}/runs"])
        assert end.code in (1, 2)
        assert words in end.err
        assert SECRET not in end.out + end.err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("+experiment=nepotistic +scale=tiny device=cpu model.optimisation.lr=nan", "takes a finite number; got nan"),
        ("+experiment=nepotistic +scale=tiny device=cpu generations=99999999999", "generations=24999 or fewer"),
        ("experiment=nepotistic", "write +experiment=nepotistic"),
    ],
)
def test_a_process_of_its_own_refuses_a_line_without_importing_torch(line: str, words: str, tmp_path: Path) -> None:
    # Because torch, Lightning and diffusers take seconds to import
    code = f"""
import sys
from collapse_lab.cli.main import main
sys.argv = ["collapse_lab", *{line.split()!r}, "paths.runs={tmp_path}/runs"]
try:
    main()
finally:
    print([name for name in ("torch", "pytorch_lightning", "diffusers", "transformers") if name in sys.modules])
"""
    end = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert end.returncode == 2
    assert words in end.stderr
    assert len(end.stderr.splitlines()) == 1
    assert end.stdout.strip() == "[]"


def test_help_that_nobody_reads_on_ends_without_a_word() -> None:
    line = f"set -o pipefail; {shlex.quote(sys.executable)} -m collapse_lab --help | head -1"
    end = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert end.returncode in (0, 141)  # 0 where the pipe took the whole text before `head` ended
    assert end.stderr == ""
    assert end.stdout.splitlines() == [end.stdout.strip()]


def test_constant_pictures_are_refused_before_the_run(
    start: Start, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("grey")
    names = [f"{number:02d}.png" for number in range(60)]
    for name in names:
        Image.new("L", (8, 8), 128).save(root / name)
    (root / "metadata.csv").write_text("file_name,text\n" + "".join(f"{name},a grey square\n" for name in names))
    line = f"+experiment=feedback_mixture +scale=tiny n_train=20 n_samples=20 sinks=[] dataset=imagefolder device=cpu \
dataset.root={root} dataset.image_size=8 features=[pixels] metrics=[memorisation] paths.runs={tmp_path}/runs"
    assert_refused(start("-", *shlex.split(line)), tmp_path, "metrics.memorisation", "all real rows are the same")
