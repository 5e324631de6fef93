"""What every file of conf/ promises. The tests find the files themselves, so a new file is tested too."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import load_file, save_file

from collapse_lab.cli import helptext
from collapse_lab.config.binding import bind
from collapse_lab.config.composing import VERSION_BASE, compose, drop_stubs
from collapse_lab.config.searchpath import CONF, register
from collapse_lab.config.signature import is_schedule, resolved
from collapse_lab.engine.silent import Silent
from collapse_lab.models.causal_lm import CausalLM
from collapse_lab.models.discrete import Discrete
from collapse_lab.models.replicated import Replicated
from collapse_lab.models.rkhs import RKHS
from collapse_lab.models.stable_diffusion import StableDiffusion
from collapse_lab.seeds import Seeds
from collapse_lab.sizes import SCHEDULE
from collapse_lab.types import Budget, Captions, Conditions, Samples, Spec, Tokens
from tests.e2e.command import environment
from tests.e2e.faces import needed
from tests.e2e.test_interacting_lm import THIRD, write_corpora
from tests.e2e.test_nepotistic_emoji import write_emoji
from tests.models.tiny_pipelines import write_pipeline
from tests.nursery import Nursery

FILES = sorted(path.relative_to(CONF) for path in CONF.glob("**/*.yaml") if path.parent != CONF)
SUPPLIED = frozenset({"spec", "executor"})  # arguments that the program supplies, and no file
ADDED = ("experiment", "scale")  # groups that are not in the defaults


def with_hydra(*overrides: str) -> DictConfig:
    """Return a composed configuration with Hydra's own node, in which no missing value is refused."""
    helptext.register()
    register()  # because Hydra parses a file anew for each configuration otherwise
    with initialize_config_dir(str(CONF), version_base=VERSION_BASE):
        return hydra_compose("config", [*overrides], return_hydra_config=True)


def model_of(*overrides: str) -> dict[str, Any]:
    """Return the resolved node of a model."""
    return dict(resolved(compose(*overrides, "device=cpu").cfg)["model"])


def chosen(file: Path) -> str:
    """Return the override that chooses a file; only groups without a default need a plus."""
    group = file.parent.as_posix()
    return f"{'+' if group in ADDED else ''}{group}={file.stem}"


def nodes(value: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each outermost node with a `_target_` of ours, because binding it binds what it holds."""
    if isinstance(value, dict):
        if str(value.get("_target_", "")).startswith("collapse_lab."):
            yield where, value
            return
        for key, item in value.items():
            yield from nodes(item, f"{where}.{key}" if where else str(key))


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_file_composes_and_binds(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    if file.parent.parent.name == "scale":  # the sizes of one experiment, which go with nothing else
        scale = f"{file.parent.name}/{file.stem}"
        cfg = with_hydra(f"+experiment={file.stem}", f"+scale={scale}")
        choices = OmegaConf.select(cfg, "hydra.runtime.choices")
        assert choices["scale"] == scale
        drop_stubs(cfg, (), choices)  # what the scale says of parts that a model of this experiment does not have
    else:
        cfg = with_hydra(chosen(file))
        picked = OmegaConf.select(cfg, "hydra.runtime.choices")[file.parent.as_posix()]
        assert picked in (file.stem, [file.stem])
    plain = resolved(cfg)
    del plain["hydra"]
    for where, node in nodes(plain, ""):
        first = {key: value[SCHEDULE][0] if is_schedule(value) else value for key, value in node.items()}
        identity = bind(first, where, SUPPLIED)
        assert identity["class"].startswith("collapse_lab.")


def top_nodes(file: Path) -> list[dict[str, Any]]:
    """Return the objects that a file itself describes: the file, or each of its entries."""
    plain = OmegaConf.to_container(OmegaConf.load(CONF / file), resolve=False)
    assert isinstance(plain, dict)
    held = [plain, *plain.values()]
    return [{str(k): v for k, v in node.items()} for node in held if isinstance(node, dict) and "_target_" in node]


# A launcher is a class of Hydra's plug-ins, which takes the arguments of another library
DESCRIBED = [file for file in FILES if top_nodes(file) and file.parts[0] != "hydra"]


@pytest.mark.parametrize("file", DESCRIBED, ids=str)
def test_a_file_names_every_argument_and_no_other(file: Path) -> None:
    for node in top_nodes(file):
        named = {key for key in node if not key.startswith("_")}
        assert named == set(inspect.signature(get_class(node["_target_"])).parameters) - SUPPLIED
        assert "_partial_" not in node


def toy(family: type) -> tuple[Spec, Samples]:
    """Return a spec and 24 rows that a family takes: captioned noisy pictures of two classes, or points, or tokens."""
    rng = np.random.default_rng(0)
    if issubclass(family, Replicated):
        d = 1 if family in (Discrete, RKHS) else 2
        points = torch.from_numpy(rng.standard_normal((24, 1, d)))
        if family is RKHS:
            points = points.sigmoid()
        return Spec("points", (1, d)), Samples(points.round().abs() if family is Discrete else points, np.full(24, -1))
    if family is CausalLM:
        tokens = Tokens(10, "", lambda rows: [str(row) for row in rows.tolist()])
        return Spec("tokens", (8,), tokens=tokens), Samples(
            torch.from_numpy(rng.integers(0, 10, (24, 8))), np.full(24, -1)
        )
    labels = np.arange(24) % 2
    words = ("zero", "one")
    captions = Captions.of([f"a {words[label]}" for label in labels])
    data = torch.from_numpy(rng.integers(0, 256, (24, 1, 8, 8), dtype=np.uint8))
    return Spec("image", (1, 8, 8), words, ("a one", "a zero")), Samples(data, labels, captions)


@pytest.mark.parametrize("file", [f for f in FILES if f.parent.name == "model"], ids=str)
def test_a_family_fits_samples_saves_loads_and_resamples(file: Path, tmp_path: Path) -> None:
    node = model_of(chosen(file))
    if get_class(node["_target_"]) is StableDiffusion:
        node["pretrained"] = str(write_pipeline(tmp_path / "pipeline", channels=1))
    if "do_sample" in node:  # else nothing is left to chance, and every seed gives the same
        node |= {"do_sample": True, "num_beams": 1}
    spec, rows = toy(get_class(node["_target_"]))
    seeds, progress = Seeds(0, 0, "model", "fit"), Silent()

    def build() -> Any:
        with seeds.child("init").scoped():
            return instantiate({**node, "_convert_": "all"}, spec)

    def fitted() -> Any:
        model = build()
        model.fit(rows, Budget(steps=3, batch_size=8), seeds, progress)
        return model

    context = rows.data[:6] if spec.modality == "tokens" else None
    conditions = Conditions(rows.labels[:6], rows.captions.take(np.arange(6)), context)
    model, place = fitted(), Seeds(0, 0, "model", "sample")
    first = model.sample(conditions, place, progress)
    assert first.data.shape == (6, *spec.shape)
    assert first.data.dtype == rows.data.dtype
    assert torch.equal(model.sample(conditions, place, progress).data, first.data)
    assert not torch.equal(model.sample(conditions, Seeds(1, 0, "model", "sample"), progress).data, first.data)

    save_file(dict(model.weights()), tmp_path / "weights.safetensors")
    loaded = build()
    loaded.load(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(loaded.sample(conditions, place, progress).data, first.data)

    twin = fitted()  # the same seeds and rows, the same weights
    assert all(torch.equal(value, twin.weights()[name]) for name, value in model.weights().items())
    assert any(not torch.equal(value, build().weights()[name]) for name, value in model.weights().items())


@pytest.mark.parametrize("family", ["text2image", "ddpm", "ddim", "latent_diffusion", "vae", "causal_lm"])
def test_a_family_trains_in_mixed_precision(family: str) -> None:
    node = model_of(f"model={family}")
    spec, rows = toy(get_class(node["_target_"]))
    model = instantiate({**node, "_convert_": "all"}, spec)
    before = {name: value.clone() for name, value in model.weights().items()}
    model.fit(rows, Budget(steps=2, batch_size=8, precision="bf16-mixed"), Seeds(0, 0, "model", "fit"), Silent())
    after = model.weights()
    assert any(not torch.equal(value, before[name]) for name, value in after.items())
    assert all(value.dtype == torch.float32 for value in after.values())


def small_data(experiment: str, folder: Path) -> list[str]:
    """Write data for an experiment that needs data of the user, or whose own data take ten seconds to prepare."""
    if experiment == "nepotistic_faces":
        return [*needed(folder, each=50), "features=[pixels]"]
    if experiment == "nepotistic_emoji":
        return [f"dataset.root={write_emoji(folder / 'packages', each=60)}"]
    if experiment in ("interacting_lm", "interacting_lm_three"):
        sizes = ["train=80", "reference=12", "vocabulary=300", "block=16"]
        more = THIRD if experiment == "interacting_lm_three" else None
        return [*write_corpora(folder, more), *(f"dataset.{size}" for size in sizes), "mixing.initial=80"]
    return []


@pytest.mark.parametrize("file", [f for f in FILES if f.parent.name == "experiment"], ids=str)
def test_an_experiment_has_a_tiny_twin(file: Path, nursery: Nursery, tmp_path: Path) -> None:
    line = [f"+experiment={file.stem}", "+scale=tiny", *small_data(file.stem, tmp_path)]
    end = nursery.run([*line, "dry_run=true", f"paths.runs={tmp_path}"])
    assert end.code == 0, end.err
    assert "nothing was computed" in end.out


@pytest.mark.parametrize(
    "args", [["features=[pixels]", "metrics=[fid]"], ["metrics=[]"], ["sinks=[]"], ["mixing=accumulate"]], ids=str
)
def test_the_tiny_scale_goes_with_any_choice(args: list[str], nursery: Nursery, tmp_path: Path) -> None:
    end = nursery.run(["+experiment=nepotistic", "+scale=tiny", *args, "dry_run=true", f"paths.runs={tmp_path}"])
    assert end.code == 0, end.err


def test_help_and_import_are_light() -> None:
    code = (
        "import sys; sys.argv = ['collapse_lab', '--help']\n"
        "from collapse_lab.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'diffusers', 'wandb', 'pytorch_lightning', 'sklearn', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert "ratio:" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_run_of_a_closed_form_imports_no_trainer(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from collapse_lab import compose, prepare\n"
        "prepare(compose('+experiment=recursive_gaussian', '+scale=tiny', 'model.replicas=2', 'sinks=[]',"
        " 'generations=1', f'paths.runs={sys.argv[1]}')).run()\n"
        "heavy = {'pytorch_lightning', 'torchmetrics', 'torchvision', 'diffusers', 'transformers', 'sklearn'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.splitlines()[-1] == "[]"
