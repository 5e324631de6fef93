"""An installed package adds a family, a metric and a data set, each by one .py and one yaml."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from collapse_lab.config.composing import compose
from collapse_lab.config.searchpath import plugin_folders
from collapse_lab.errors import UserError
from collapse_lab.experiment import prepare
from tests.e2e.command import ledger, only_run
from tests.lab_package import forget_modules, install, install_by_pip, pyproject, run_with, write
from tests.nursery import Nursery

MODEL = '''
from typing import ClassVar

import torch

from collapse_lab.images import as_float, as_uint8
from collapse_lab.types import Samples


class Blur:
    """Sample the mean training image with noise."""

    version: ClassVar[int] = 1
    sampling_only: ClassVar[frozenset[str]] = frozenset({"noise"})

    def __init__(self, spec, *, share: float = 1.0, noise: float = 0.1) -> None:
        self.spec, self.share, self.noise = spec, share, noise
        self.mean = torch.zeros(spec.shape)

    def fit(self, data, budget, seeds, progress) -> None:
        self.mean = self.share * as_float(data.data).mean(0)
        progress.advance(budget.steps)

    def sample(self, conditions, seeds, progress) -> Samples:
        noise = torch.randn(len(conditions), *self.spec.shape, generator=seeds.torch())
        progress.advance(1)
        return Samples(as_uint8(self.mean + self.noise * noise), conditions.labels, conditions.captions)

    def sampling_steps(self, n: int) -> int:
        return 1

    def weights(self):
        return {"mean": self.mean}

    def load(self, weights) -> None:
        self.mean = weights["mean"]

    def to(self, device, /):
        return self
'''
METRIC = '''
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from collapse_lab.types import Estimate


@dataclass
class Gap:
    """Measure the distance of the mean features."""

    version: ClassVar[int] = 1
    floored: ClassVar[bool] = True
    against: ClassVar[str] = "reference"
    features: Sequence[str] | None = None

    def __call__(self, generated, real, rng):
        return {"gap": Estimate(float((generated.values.mean(0) - real.values.mean(0)).norm()))}
'''
DATASET = '''
from dataclasses import dataclass

import numpy as np

from collapse_lab.datasets.base import ImageDataset, LabelledImages


@dataclass(kw_only=True, eq=False)
class Bars(ImageDataset):
    """Draw upright and level bars."""

    rows: int = 60

    classes = ("upright", "level")
    native_shape = (1, 8, 8)

    def contents(self):
        return {}

    def read(self) -> LabelledImages:
        images = np.zeros((self.rows, 1, 8, 8), np.uint8)
        labels = np.arange(self.rows) % 2
        for image, label, place in zip(images, labels, np.arange(self.rows) // 2 % 8, strict=True):
            image[0][(slice(None), place) if label == 0 else (place,)] = 255
        return LabelledImages(images, labels.astype(np.int64))
'''
FILES = {
    "pyproject.toml": pyproject("my_lab", {"my_lab": "my_lab.conf"}),
    "my_lab/__init__.py": "",
    "my_lab/blur.py": MODEL,
    "my_lab/gap.py": METRIC,
    "my_lab/bars.py": DATASET,
    "my_lab/conf/model/blur.yaml": "# The mean image with noise.\n_target_: my_lab.blur.Blur\nshare: 1.0\nnoise: 0.1\n",
    "my_lab/conf/metrics/gap.yaml": "# The distance of means.\ngap:\n  _target_: my_lab.gap.Gap\n  features: null\n",
    "my_lab/conf/dataset/bars.yaml": "# Bars.\n_target_: my_lab.bars.Bars\nreference_fraction: 0.5\nrows: 60\n",
}
TINY = [
    "+experiment=nepotistic",
    "+scale=tiny",
    "dataset=bars",
    "model=blur",
    "metrics=[fid,gap]",
    "features=[pixels]",
    "prompts=all",
    "n_train=20",
    "n_samples=8",
    "generations=1",
    "ratio=0.25",
    "device=cpu",
    "sinks=[]",
]


def installed(place: Path, files: Mapping[str, str]) -> Path:
    """Install a package, and return the folder that it is installed into."""
    source, target = place / "source", place / "site"
    target.mkdir(parents=True, exist_ok=True)
    install(write(source, files), target)
    return target


def test_a_family_a_metric_and_a_data_set_of_an_installed_package_are_used(nursery: Nursery, tmp_path: Path) -> None:
    target = tmp_path / "site"
    install_by_pip(write(tmp_path / "source", FILES), target)
    done = run_with(target, [*TINY, f"paths.runs={tmp_path / 'runs'}"])
    assert done.returncode == 0, done.stderr
    first, second = ledger(only_run(tmp_path / "runs"))
    assert (first["counts"], second["counts"]) == ({"real": 30, "synthetic": 0}, {"real": 15, "synthetic": 5})
    assert {"all/pixels/gap", "all/pixels/gap_floor", "all/pixels/fid"} <= second["metrics"].keys()
    (manifest, *_) = (tmp_path / "runs" / ".store" / "fit").glob("*/*/manifest.json")
    assert json.loads(manifest.read_text())["fields"]["model"]["class"] == "my_lab.blur.Blur"
    # A typing error finds the names of the package, and --help prints them
    wrong = nursery.run([*TINY, "model=blurr"], SITE=str(target))
    assert (wrong.code, wrong.err) == (
        2,
        "collapse_lab: unknown value 'blurr' of model; did you mean 'blur'?\n",
    )
    assert "bars" in nursery.run(["--help"], SITE=str(target)).out


def refused(nursery: Nursery, target: Path, runs: Path) -> str:
    """Return the one line with which the command line refuses a run."""
    end = nursery.run([*TINY, f"paths.runs={runs}"], SITE=str(target))
    assert end.code == 2, end.err
    (line,) = end.err.splitlines()
    assert line.startswith("collapse_lab: ")
    return line


WRONG: dict[str, tuple[dict[str, str], str]] = {
    "metric": (
        {"my_lab/gap.py": METRIC.replace("floored:", "floord:")},
        "metrics.gap: Gap does not satisfy the protocol Metric of collapse_lab.types: it has no floored; add",
    ),
    "model": (
        {"my_lab/blur.py": MODEL.replace("def weights", "def wait").replace("def to", "def too")},
        "model: Blur does not satisfy the protocol GenerativeModel of collapse_lab.types: it has no weights, to;",
    ),
    "data set": (
        {"my_lab/bars.py": "class Bars:\n    def __init__(self, reference_fraction, rows): ...\n"},
        "dataset: Bars does not satisfy the protocol Dataset of collapse_lab.types: it has no load, key, spec; add",
    ),
    "import": (
        {"my_lab/blur.py": "import gone\n"},
        "model._target_ 'my_lab.blur.Blur' cannot be imported: No module named 'gone'",
    ),
    "argument": (
        {"my_lab/conf/model/blur.yaml": "_target_: my_lab.blur.Blur\nnoize: 1\n"},
        "model.noize: Blur has no such argument; did you mean 'noise'?",
    ),
    "name": (
        {"my_lab/conf/model/ddpm.yaml": "_target_: my_lab.blur.Blur\n"},
        "two plug-ins have the name model/ddpm: collapse_lab and my_lab",
    ),
    "no folder": (
        {"pyproject.toml": pyproject("my_lab", {"my_lab": "my_lab.gone"})},
        "the plug-in 'my_lab' names the package 'my_lab.gone' for its yaml files, and there is no such package",
    ),
    "no package": (
        {"pyproject.toml": pyproject("my_lab", {"my_lab": "gone.conf"})},
        "the plug-in 'my_lab' names the package 'gone.conf' for its yaml files, and there is no such package",
    ),
    "a module": (
        {"pyproject.toml": pyproject("my_lab", {"my_lab": "my_lab.blur"})},
        "the plug-in 'my_lab' names the package 'my_lab.blur' for its yaml files, and there is no such package",
    ),
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a folder whose packages this process imports, and forget them afterwards."""
    target = tmp_path / "site"
    target.mkdir()
    forget_modules()
    monkeypatch.syspath_prepend(str(target))
    plugin_folders.cache_clear()
    yield target
    plugin_folders.cache_clear()
    forget_modules()


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_plug_in_is_refused_in_one_line(site: Path, tmp_path: Path, case: str) -> None:
    changes, message = WRONG[case]
    installed(tmp_path, FILES | changes)
    with pytest.raises(UserError) as refusal:
        prepare(compose(*TINY, f"paths.runs={tmp_path / 'runs'}"))
    assert message in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize("case", ["model", "no package"])
def test_the_command_line_refuses_a_wrong_plug_in_with_exit_code_2(nursery: Nursery, tmp_path: Path, case: str) -> None:
    changes, message = WRONG[case]
    assert message in refused(nursery, installed(tmp_path, FILES | changes), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_two_plug_ins_of_one_name_are_refused(nursery: Nursery, tmp_path: Path) -> None:
    installed(tmp_path / "first", FILES)
    other = {name.replace("my_lab", "other"): text.replace("my_lab", "other") for name, text in FILES.items()}
    other["pyproject.toml"] = pyproject("other", {"other": "other.conf"})
    install(write(tmp_path / "source", other), tmp_path / "first" / "site")
    line = refused(nursery, tmp_path / "first" / "site", tmp_path / "runs")
    assert "two plug-ins have the name dataset/bars: my_lab and other" in line
    assert "rename one of the files, or uninstall one of the two" in line
