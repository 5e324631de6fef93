from __future__ import annotations

import json
import shutil
from itertools import product
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from collapse_lab.storage.formats import ENVIRONMENT, FORMAT
from tests.e2e.command import CHAIN, PIXELS, contents, entries, ledger, only_run, run, timeless
from tests.nursery import Nursery

FIELDS = ["generation", "model", "counts", "metrics", "seconds", "status", "keys", "features", "sum"]
TRAIN_ROWS = 1258  # of the 1,797 digits, less those kept for reference
SUBSETS, SPACES = ("seen", "unseen"), ("classifier", "pixels")
KINDS = ("fid", "kid", "precision", "recall", "density", "coverage", "vendi", "authenticity", "near_copies")
NAMES = {"/".join(parts) for parts in product(SUBSETS, SPACES, KINDS)}
NAMES |= {f"{s}/classifier/{kind}" for s in SUBSETS for kind in ("agreement", "mode_coverage", "class_entropy")}
# Shares of the classes that the real rows of each prompt set are of
NAMES |= {f"seen/classifier/class_share_{k}" for k in range(5)}
NAMES |= {f"unseen/classifier/class_share_{k}" for k in range(5, 10)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The main job, by the very command that a user gives."""
    place = tmp_path_factory.mktemp("main") / "runs"
    done = run([*CHAIN, "ratio=0.1", f"paths.runs={place}"])
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture(scope="module")
def short_runs(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The main job with one metric of both feature spaces, because most metrics and plots are no stages."""
    place = tmp_path_factory.mktemp("short") / "runs"
    end = nursery.run([*CHAIN, "ratio=0.1", "metrics=[fid]", f"paths.runs={place}"])
    assert end.code == 0, end.err
    return place


@pytest.fixture
def own_runs(short_runs: Path, tmp_path: Path) -> Path:
    """A copy of `short_runs` for a test that adds to it: the others hold in any order."""
    return Path(shutil.copytree(short_runs, tmp_path / "runs"))


def again(runs: Path, *more: str) -> list[str]:
    return [*CHAIN, "ratio=0.1", f"paths.runs={runs}", *more]


def test_the_ledger_has_exactly_the_promised_fields(runs: Path) -> None:
    lines = ledger(only_run(runs))
    assert [list(line) for line in lines] == [FIELDS] * 3
    assert [(line["generation"], line["model"], line["status"]) for line in lines] == [
        (g, "model", "ok") for g in range(3)
    ]
    for line in lines:
        assert set(line["seconds"]) == {"fit", "sample", "measure"}
        assert set(line["keys"]) == {"fit", "sample"}
        assert set(line["keys"]["sample"]) == {"seen", "unseen"}
        assert set(line["features"]) == {"classifier", "pixels"}


def test_counts_are_exact(runs: Path) -> None:
    # round(0.1 * 32) = 3; generation 0 is trained on every real row
    expected = [{"real": TRAIN_ROWS, "synthetic": 0}] + 2 * [{"real": 29, "synthetic": 3}]
    assert [line["counts"] for line in ledger(only_run(runs))] == expected


def test_both_prompt_sets_are_measured_with_interval_and_floor(runs: Path) -> None:
    expected = {f"{name}{end}" for name in NAMES for end in ("", "_lo", "_hi", "_floor")}
    for line in ledger(only_run(runs)):
        assert set(line["metrics"]) == expected
        assert all(line["metrics"][f"{n}_lo"] <= line["metrics"][f"{n}_hi"] for n in NAMES)
        assert {line["features"][space][subset]["n"] for space, subset in product(SPACES, SUBSETS)} == {16}


def test_keys_of_the_ledger_are_stages_of_the_store(runs: Path) -> None:
    stored = entries(runs / ".store")
    for line in ledger(only_run(runs)):
        assert f"fit/{line['keys']['fit']}" in stored
        assert all(f"sample/{key}" in stored for key in line["keys"]["sample"].values())


def test_the_folder_holds_what_a_reader_needs(runs: Path) -> None:
    folder = only_run(runs)
    grids = {str(path.relative_to(folder / "grids")) for path in folder.glob("grids/*/*.png")}
    assert grids == {f"{subset}/model-g{g:03d}.png" for subset in ("seen", "unseen") for g in range(3)}
    page = (folder / "report.html").read_text()
    assert folder.name in page
    assert "http://" not in page.replace("http://www.w3.org/", "")  # self-contained
    config = OmegaConf.load(folder / "config.yaml")
    assert (config.format, config.n_train) == (FORMAT, 32)
    environment = json.loads((folder / ENVIRONMENT).read_text())
    assert {"commit", "dirty", "packages", "machine", "command"} <= set(environment)
    assert json.loads((folder / "status.json").read_text())["status"] == "ok"


def test_the_same_command_again_changes_nothing(runs: Path, nursery: Nursery, tmp_path: Path) -> None:
    folder = only_run(runs)
    before = {**contents(runs / ".store"), "ledger": contents(folder)["ledger.jsonl"]}
    end = nursery.run(again(runs), stages=tmp_path / "stages")
    assert (end.code, end.err) == (0, "")
    assert "already complete" in end.out
    assert {**contents(runs / ".store"), "ledger": contents(folder)["ledger.jsonl"]} == before
    assert not (tmp_path / "stages").exists()


def test_a_dry_run_shows_rows_and_stages_and_leaves_nothing(nursery: Nursery, tmp_path: Path) -> None:
    end = nursery.run([*CHAIN, "ratio=0.5", "dry_run=true", f"paths.runs={tmp_path / 'runs'}"])
    assert end.code == 0, end.err
    rows = [line.replace("│", " ").split() for line in end.out.splitlines() if line.startswith("│")]
    assert [row[:4] for row in rows] == [
        ["0", "model", str(TRAIN_ROWS), "0"],
        ["1", "model", "16", "16"],
        ["2", "model", "16", "16"],
    ]
    assert " 0 are in the store" in end.out
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_dry_run_knows_what_the_store_has(runs: Path, nursery: Nursery) -> None:
    before = contents(runs)
    end = nursery.run(again(runs, "generations=3", "dry_run=true"))
    assert end.code == 0, end.err
    fits = [line.replace("│", " ").split()[4:6] for line in end.out.splitlines() if line.startswith("│")]
    assert [state for state, _ in fits] == ["stored", "stored", "stored", "to"]
    assert contents(runs) == before


def test_the_config_can_be_printed(nursery: Nursery, tmp_path: Path) -> None:
    end = nursery.run([*CHAIN, "ratio=0.25", f"paths.runs={tmp_path}", "--cfg", "job", "--resolve"])
    assert end.code == 0, end.err
    printed = OmegaConf.create(end.out)
    assert printed.mixing.ratio == 0.25
    assert printed.store.root == f"{tmp_path}/.store"


def test_another_generation_costs_that_generation_alone(own_runs: Path, nursery: Nursery, tmp_path: Path) -> None:
    first, before = only_run(own_runs), contents(own_runs / ".store")
    end = nursery.run(again(own_runs, "generations=3", "metrics=[fid]"), stages=tmp_path / "stages")
    assert end.code == 0, end.err
    longer = next(folder for folder in (own_runs / "nepotistic").iterdir() if folder != first)
    assert timeless(longer)[:3] == timeless(first)
    assert ledger(longer)[3]["generation"] == 3
    after = contents(own_runs / ".store")
    assert {name: after[name] for name in before} == before
    kinds = [line.split("/")[0] for line in (tmp_path / "stages").read_text().splitlines()]
    # A fit; samples and a grid for two prompt sets; two feature spaces of two samples
    assert {kind: kinds.count(kind) for kind in kinds} == {"fit": 1, "sample": 4, "features": 4}


def test_another_ratio_shares_generation_0(own_runs: Path, nursery: Nursery, tmp_path: Path) -> None:
    end = nursery.run([*CHAIN, "ratio=0.5", "metrics=[fid]", f"paths.runs={own_runs}"], stages=tmp_path / "stages")
    assert end.code == 0, end.err
    kinds = [line.split("/")[0] for line in (tmp_path / "stages").read_text().splitlines()]
    assert {kind: kinds.count(kind) for kind in kinds} == {"fit": 2, "sample": 8, "features": 8}


def test_healing_is_contaminated_first_and_real_then(nursery: Nursery, tmp_path: Path) -> None:
    args = ["+experiment=nepotistic_healing", *(word for word in PIXELS if not word.startswith("+experiment"))]
    end = nursery.run([*args, "ratio=0.25", f"paths.runs={tmp_path}"])
    assert end.code == 0, end.err
    counts = [line["counts"] for line in ledger(only_run(tmp_path, "nepotistic_healing"))]
    assert counts == [{"real": TRAIN_ROWS, "synthetic": 0}, {"real": 24, "synthetic": 8}, {"real": 32, "synthetic": 0}]


@pytest.mark.parametrize(
    "curation", [["curation=histogram"], ["curation=drop_worst", "curation.fraction=0.5", "n_samples=40"]]
)
def test_controls_run_as_curation(curation: list[str], nursery: Nursery, tmp_path: Path) -> None:
    args = [*CHAIN, "ratio=0.25", "metrics=[fid]", "generations=1", *curation, f"paths.runs={tmp_path}"]
    end = nursery.run(args)
    assert end.code == 0, end.err
    assert ledger(only_run(tmp_path))[1]["counts"] == {"real": 24, "synthetic": 8}
    assert len(entries(tmp_path / ".store", "curated")) == 1  # what the last generation made, nobody trains on


def test_wandb_needs_no_account_and_asks_nothing(nursery: Nursery, tmp_path: Path) -> None:
    args = [*PIXELS, "generations=0", "sinks=[console,wandb]", f"paths.runs={tmp_path}"]
    end = nursery.run(args, HOME=str(tmp_path / "home"))  # no ~/.netrc, no settings
    assert end.code == 0, end.err
    assert "Weights & Biases is off" not in end.out + end.err
    folder = only_run(tmp_path)
    (mirror,) = folder.glob(f"wandb/offline-run-*-{folder.name}")
    assert next(mirror.glob("*.wandb")).stat().st_size > 0
