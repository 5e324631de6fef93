"""The command that exports: what it writes beside the weights, and what it refuses, each in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import DatasetCard, ModelCard
from PIL import Image

from collapse_lab.cli.export import main
from tests.e2e.command import contents, entries, ledger
from tests.sharing.runs import DIGITS, LANGUAGE, NET, TEXT, chosen, computed, exported, sampled

MEASURED = ["generations=2", "features=[pixels]", "metrics=[fid]", "metrics.fid.bootstrap=5", "seed=3"]
LINE = [*DIGITS, "model=text2image", *NET, *TEXT, *MEASURED]
MEMBERS = ["+population.members.bold={guidance_scale: 4.0}", "+population.members.plain={}"]
MEMBERS += ["~population.members.model"]
TOYS = ["+experiment=recursive_gaussian", "generations=1", "n_train=8", "n_samples=8", "sinks=[]", "probes=[]"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def run(place: Path) -> Path:
    return computed(place / "runs", *LINE)


@pytest.fixture(scope="module")
def folder(run: Path, place: Path) -> Path:
    return exported(run, place / "model", "--generation", "2")


@pytest.fixture(scope="module")
def pictures(run: Path, place: Path) -> Path:
    return exported(run, place / "pictures", "--generation", "1", "--samples")


@pytest.fixture(scope="module")
def language(place: Path) -> Path:
    return computed(place / "runs", *LANGUAGE)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one line that a command is refused with."""
    capsys.readouterr()
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    return err


def test_the_card_says_where_the_model_comes_from_and_how_good_it_is(run: Path, folder: Path) -> None:
    card, line = ModelCard.load(folder / "README.md"), ledger(run)[2]
    facts, data = card.data.to_dict()["collapse_lab"], card.data.to_dict()
    assert (data["library_name"], data["pipeline_tag"]) == ("diffusers", "text-to-image")
    assert {name: facts[name] for name in ("experiment", "signature", "seed", "generation", "ratio", "rows")} == {
        "experiment": "nepotistic",
        "signature": run.name,
        "seed": 3,
        "generation": 2,
        "ratio": 0.5,
        "rows": {"real": 4, "synthetic": 4},
    }
    assert (facts["lineage"], facts["dataset"], facts["fit"]) == ("previous", "Digits", line["keys"]["fit"])
    fid = {name: line["metrics"][name] for name in ("all/pixels/fid", "all/pixels/fid_floor")}
    assert facts["metrics"] == fid
    value, floor = (f"{number:.4g}" for number in fid.values())
    assert f"| FID, pixel features | {value} |" in card.text
    assert f"| {floor} |" in card.text
    starts = [row.split(" | ")[1] for row in card.text.splitlines() if row.startswith(("| 0 |", "| 1 |", "| 2 |"))]
    assert starts == ["fresh weights", "generation 0", "generation 1"]
    assert f'from_pretrained("{folder}"' in card.text


def test_the_card_of_a_chain_with_pretrained_weights_never_says_that_a_fit_starts_from_fresh_ones(
    run: Path, place: Path
) -> None:
    (weights,) = (path for name, path in entries(run.parents[1] / ".store", "fit").items() if fit_of(run, 2) in name)
    line = [*LINE, "generations=1", f"model.pretrained={weights}"]
    runs = {name: computed(place / name, *line, f"population.lineage={name}") for name in ("scratch", "pretrained")}
    assert fit_of(runs["scratch"], 1) == fit_of(runs["pretrained"], 1)
    for name, begun in runs.items():
        card = (exported(begun, place / f"card_{name}") / "README.md").read_text()
        starts = [row.split(" | ")[1] for row in card.splitlines() if row.startswith(("| 0 |", "| 1 |"))]
        assert starts == ["the pretrained weights"] * 2
        assert f"{name}: each fit from generation 1 on starts from the pretrained weights" in card


def fit_of(run: Path, generation: int) -> str:
    """Return the key of the fit of a generation."""
    return str(ledger(run)[generation]["keys"]["fit"])


def test_the_card_shows_the_command_without_the_folders_of_the_machine(run: Path, place: Path) -> None:
    moved = shutil.copytree(run, place / "started" / "nepotistic" / run.name)
    environment = json.loads((moved / "environment.json").read_text())
    words = [
        "/somewhere/bin/collapse-lab",
        "+experiment=nepotistic",
        "model.channels=[8,16]",
        "paths.runs=/home/somebody",
    ]
    (moved / "environment.json").write_text(json.dumps(environment | {"command": words}))
    card = exported(moved, place / "with_command", f"paths.store={run.parents[1] / '.store'}") / "README.md"
    assert "collapse-lab +experiment=nepotistic 'model.channels=[8,16]'\n" in card.read_text()
    assert "somebody" not in card.read_text()


def test_the_last_generation_is_exported_unless_another_is_asked_for(run: Path, folder: Path, place: Path) -> None:
    weights = "unet/diffusion_pytorch_model.safetensors"
    last, first = exported(run, place / "last"), exported(run, place / "first", "--generation", "0")
    assert (last / weights).read_bytes() == (folder / weights).read_bytes()
    assert (first / weights).read_bytes() != (folder / weights).read_bytes()


def test_exporting_changes_nothing_of_the_run_and_leaves_readable_files(run: Path, folder: Path) -> None:
    modes = {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}
    assert len(modes) == 1
    before = contents(run), entries(run.parents[1] / ".store").keys()
    assert main([str(run), "--to", str(run / "nowhere"), "--generation", "7"]) == 2
    assert (contents(run), entries(run.parents[1] / ".store").keys()) == before


def test_a_store_that_moves_with_the_runs_is_found(run: Path, place: Path, folder: Path) -> None:
    moved = place / "moved" / "runs"
    shutil.copytree(run.parents[1], moved)
    shutil.move(run.parents[1], place / "away")
    try:
        found = exported(moved / "nepotistic" / run.name, place / "from_moved")
    finally:
        shutil.move(place / "away", run.parents[1])
    assert (found / "unet" / "config.json").read_bytes() == (folder / "unet" / "config.json").read_bytes()


def test_samples_are_a_folder_of_pictures_with_captions_and_labels(run: Path, pictures: Path) -> None:
    lines = [json.loads(line) for line in (pictures / "metadata.jsonl").read_text().splitlines()]
    samples, _ = sampled(chosen(run, 1))
    assert [line["text"] for line in lines] == samples.captions.texts()
    assert [line["label"] for line in lines] == samples.labels.tolist()
    assert {line["prompts"] for line in lines} == {"all"}
    assert lines[0]["class"] == "zero"
    expected = ((samples.data[:, 0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    stored = np.stack([np.asarray(Image.open(pictures / line["file_name"])) for line in lines])
    np.testing.assert_array_equal(stored, expected)
    card = DatasetCard.load(pictures / "README.md").data.to_dict()
    assert card["collapse_lab"]["generation"] == 1
    assert card["task_categories"] == ["text-to-image"]


def test_datasets_loads_the_pictures(pictures: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset("imagefolder", data_dir=str(pictures), split="train", cache_dir=str(tmp_path))
    lines = [json.loads(line) for line in (pictures / "metadata.jsonl").read_text().splitlines()]
    assert loaded["text"] == [line["text"] for line in lines]
    assert loaded["label"] == [line["label"] for line in lines]
    assert [image.size for image in loaded["image"]] == [(8, 8)] * len(lines)


def test_samples_of_a_language_model_are_lines_of_text(language: Path, place: Path) -> None:
    texts = exported(language, place / "texts", "--samples")
    lines = [json.loads(line) for line in (texts / "texts.jsonl").read_text().splitlines()]
    one = chosen(language)
    tokens = one.lab.dataset.spec.tokens
    assert tokens is not None
    assert [line["text"] for line in lines] == tokens.decode(sampled(one)[0].data)


def test_one_member_of_a_population_is_exported_by_its_name(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = computed(place / "runs", *DIGITS, "model=text2image", *NET, *TEXT, *MEMBERS, "name=members")
    assert "has 2 members, and one is exported at a time: give --member with one of bold, plain" in refused(
        capsys, str(both), "--to", str(place / "none")
    )
    assert "'bald' is none; did you mean 'bold'?" in refused(
        capsys, str(both), "--to", str(place / "none"), "--member", "bald"
    )
    index = json.loads((exported(both, place / "bold", "--member", "bold") / "model_index.json").read_text())
    assert index["guidance_scale"] == 4
    assert "| member | bold: guidance_scale 4 |" in (place / "bold" / "README.md").read_text()
    assert not (place / "none").exists()


WRONG = {
    "no_run": (["{place}/nowhere"], "expected a run folder, and '{place}/nowhere' is not there"),
    "no_run_folder": (["{place}"], "is no run folder, which holds config.yaml and ledger.jsonl"),
    "a_folder_of_runs": (["{run}/../.."], "is a folder of runs, and one is exported at a time: give one of"),
    "a_file": (["{run}/config.yaml"], "is no run folder"),
    "no_generation": (["{run}", "--generation", "3"], "the run has the generations 0 to 2, and not 3"),
    "a_negative_one": (["{run}", "--generation", "-1"], "the run has the generations 0 to 2, and not -1"),
    "no_number": (["{run}", "--generation", "last"], "invalid int value: 'last'"),
    "no_member": (["{run}", "--member", "bold"], "--member is a member of the run's population, and 'bold' is none"),
    "no_store": (["{run}", "paths.store={place}/none"], "are not in the store {place}/none"),
    "no_setting": (["{run}", "paths.shop=x"], "the run has no setting 'paths.shop'"),
    "no_pair": (["{run}", "samples"], "'samples' is neither an option nor KEY=VALUE"),
    "no_option": (["{run}", "--sample-all"], "unrecognized arguments: --sample-all"),
    "other_data": (["{run}", "dataset.split_seed=1"], "was computed from other data or weights"),
    "no_name": (
        ["{run}", "--push", "faces"],
        "--push takes OWNER/NAME, as in somebody/faces-generation-5; got 'faces'",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_refused_in_one_line_and_nothing_is_written(
    name: str, run: Path, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "runs_that_are_none").mkdir(exist_ok=True)
    here = place / "runs_that_are_none" if name == "no_run_folder" else place
    arguments, said = WRONG[name]
    given = [word.format(place=here, run=run) for word in arguments]
    assert said.format(place=here) in refused(capsys, *given, "--to", str(tmp_path / "to"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_empty_is_left_as_it_is(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kept").mkdir()
    file = tmp_path / "kept" / "notes.txt"
    file.write_text("mine")
    assert "kept is not empty; nothing is overwritten" in refused(capsys, str(run), "--to", str(file.parent))
    assert "notes.txt is a file; nothing is overwritten" in refused(capsys, str(run), "--to", str(file))
    assert [path.name for path in tmp_path.rglob("*")] == ["kept", "notes.txt"]
    assert file.read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert (exported(run, tmp_path / "empty") / "README.md").exists()


def test_a_run_of_another_format_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    older = shutil.copytree(run, tmp_path / "runs" / "nepotistic" / "older")
    text = (older / "config.yaml").read_text()
    for mark, said in (("", "format 1"), ("format: 9\n", "format 9")):
        (older / "config.yaml").write_text(text.replace("format: 2\n", mark))
        assert f"is a run of {said}, and format 2 is exported" in refused(
            capsys, str(older), "--to", str(tmp_path / "to")
        )


def test_a_sweep_folder_names_its_runs(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = tmp_path / "sweeps" / "0123" / "cells"
    cells.mkdir(parents=True)
    (cells / "0000.json").write_text(json.dumps({"run": str(run), "status": "ok", "reason": "", "seconds": 1.0}))
    assert f"is a folder of runs, and one is exported at a time: give one of {run}" in refused(
        capsys, str(cells.parent), "--to", str(tmp_path / "to")
    )


def test_what_the_store_lacks_is_not_computed_and_the_others_are_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Path(shutil.copytree(run.parents[1] / ".store", tmp_path / "store"))
    elsewhere = f"paths.store={store}"
    keys = [line["keys"]["fit"] for line in ledger(run)]
    shutil.rmtree(store / "fit" / keys[1][:2] / keys[1])
    said = refused(capsys, str(run), elsewhere, "--generation", "1", "--to", str(tmp_path / "to"))
    assert "the weights of generation 1 are not in the store" in said
    assert "give --generation with one that is there: 0, 2" in said
    tensors = store / "fit" / keys[2][:2] / keys[2] / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-1] + b"!")
    manifest = tensors.with_name("manifest.json")
    said = refused(capsys, str(run), elsewhere, "--generation", "2", "--to", str(tmp_path / "to"))
    assert f"{tensors.parent} is damaged or cannot be read (tensors.safetensors has SHA-256" in said
    shutil.copyfile(run.parents[1] / ".store" / tensors.relative_to(store), tensors)
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"divergence": "the loss is NaN"}))
    said = refused(capsys, str(run), elsewhere, "--generation", "2", "--to", str(tmp_path / "to"))
    assert "generation 2 diverged (the loss is NaN), so that there is nothing to export: give an earlier one" in said
    lines = (run / "ledger.jsonl").read_text().splitlines(keepends=True)
    begun = Path(shutil.copytree(run, tmp_path / "runs" / "nepotistic" / run.name))
    (begun / "ledger.jsonl").write_text("".join(lines[:1]))
    assert "generation 1 has no weights yet: let the run go on; or give --generation with one that is there: 0" in (
        refused(capsys, str(begun), elsewhere, "--generation", "1", "--to", str(tmp_path / "to"))
    )
    assert not (tmp_path / "to").exists()


def test_toys_are_refused_and_the_families_that_can_be_exported_are_named(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy = computed(place / "runs", *TOYS)
    said = refused(capsys, str(toy), "--to", str(tmp_path / "to"))
    assert "model=gaussian is nothing that another library opens" in said
    assert "or give --samples" in said
    assert "causal_lm, ddim, ddpm, latent_diffusion, stable_diffusion, text2image, vae" in said
    assert "those of this run are points" in refused(capsys, str(toy), "--to", str(tmp_path / "to"), "--samples")


class Hub:
    """Stands for the hub: remembers what is asked of it, and may be full or out of reach."""

    def __init__(self, files: list[str] | None = None, error: Exception | None = None) -> None:
        self.files, self.error = files, error
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def repo_exists(self, repo_id: str, repo_type: str) -> bool:
        return self.files is not None

    def list_repo_files(self, repo_id: str, repo_type: str) -> list[str]:
        return self.files or []

    def create_repo(self, repo_id: str, **options: Any) -> None:
        self.calls.append((repo_id, options))

    def upload_folder(self, **options: Any) -> str:
        if self.error:
            raise self.error
        self.calls.append((options["repo_id"], options))
        return "the address of the commit"


def test_a_folder_is_pushed_to_a_new_private_repository(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = Hub()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    folder = exported(run, tmp_path / "to", "--push", "somebody/digits")
    (made, create), (_, upload) = hub.calls
    assert (made, create) == ("somebody/digits", {"repo_type": "model", "private": True, "exist_ok": True})
    assert upload["folder_path"] == folder
    assert "uploaded: the address of the commit" in capsys.readouterr().out
    assert 'from_pretrained("somebody/digits", trust_remote_code=True)' in (folder / "README.md").read_text()


def test_a_repository_with_files_is_refused_before_anything_is_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: Hub([".gitattributes", "model_index.json"]))
    said = refused(capsys, str(run), "--to", str(tmp_path / "to"), "--push", "somebody/digits")
    assert "the model somebody/digits is on the hub already, with 2 files, and nothing is overwritten" in said
    assert list(tmp_path.iterdir()) == []


def test_an_upload_that_fails_leaves_the_folder_and_says_so(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: Hub([], ConnectionError("no\nnetwork")))
    assert main([str(run), "--to", str(tmp_path / "to"), "--push", "somebody/digits"]) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "to is whole, and was not uploaded: the hub did not take it (ConnectionError: no network)" in err
    assert (tmp_path / "to" / "model_index.json").exists()
