"""Encodings out of the store: a fit with them equals one that encodes by itself, and nothing is encoded twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTextModel

from collapse_lab import compose, prepare
from collapse_lab.config.building import build
from collapse_lab.engine import encodings
from collapse_lab.engine.executor import Alone
from collapse_lab.engine.loop import Loop
from collapse_lab.engine.run import lay_out
from collapse_lab.engine.silent import Silent
from collapse_lab.engine.view import Source, View
from collapse_lab.images import as_float
from collapse_lab.nn.encoders import Encoders
from collapse_lab.nn.pixels import Pixels
from collapse_lab.storage.ledger import Ledger
from collapse_lab.storage.store import Store
from tests.e2e.faces import needed
from tests.models.cases import QUIET, budget, conditions, draw, place, same
from tests.models.test_stable_diffusion import TEXTS, frozen, rows, sd

N, STEPS = 16, 2
LINE = ["+experiment=nepotistic_faces", "+scale=tiny", f"n_train={N}", f"n_samples={N}", "generations=2", "device=cpu"]
LINE += [f"trainer.steps={STEPS}", f"trainer.finetune_steps={STEPS}", "trainer.batch_size=4", "model.sampler.steps=2"]
LINE += ["model.sampling_batch=50", "model.encoding_batch=8", "features=[pixels]", "metrics=[fid]", "sinks=[]"]
LINE += ["metrics.fid.bootstrap=2"]
PROBED = ["probes=[denoising]", "probes.denoising.draws=2"]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Write faces and a pipeline, and return the overrides that name them. 32 faces are for training."""
    return needed(tmp_path_factory.mktemp("sources"))


def line(sources: list[str], folder: Path, *more: str) -> list[str]:
    return [*LINE, *sources, f"paths.runs={folder / 'runs'}", f"paths.data={folder / 'data'}", *more]


class Spy:
    """Note the pictures that VAEs encode, each as bytes, and how often text encoders are called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pictures: list[bytes] = []
        self.text_calls = self.texts_read = 0
        encode, forward = AutoencoderKL.encode, CLIPTextModel.forward

        def spied(vae: Any, x: Tensor, *more: Any, **settings: Any) -> Any:
            self.pictures += [row.numpy().tobytes() for row in x]
            return encode(vae, x, *more, **settings)

        def called(net: Any, *more: Any, **settings: Any) -> Any:
            self.text_calls += 1
            return forward(net, *more, **settings)

        monkeypatch.setattr(AutoencoderKL, "encode", spied)
        monkeypatch.setattr(CLIPTextModel, "forward", called)

    def take(self) -> tuple[set[bytes], int]:
        """Return what was encoded since the last call."""
        pictures, calls = set(self.pictures), self.text_calls
        self.pictures, self.text_calls = [], 0
        return pictures, calls


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    return Spy(monkeypatch)


def real_pictures(line: list[str]) -> set[bytes]:
    real = build(compose(*line).cfg, Alone()).real
    return {row.numpy().tobytes() for part in (real.train, real.reference) for row in as_float(part.data[:])}


def test_a_second_ratio_and_a_second_seed_encode_no_real_picture_and_no_prompt_again(
    sources: list[str], tmp_path: Path, spy: Spy
) -> None:
    real = real_pictures(line(sources, tmp_path))
    assert len(real) == 40
    prepare(compose(*line(sources, tmp_path, "ratio=0.5", *PROBED))).run()
    pictures, calls = spy.take()
    assert pictures >= real  # those that are trained on, drawn from, and measured on
    assert len(pictures - real) == 2 * N  # what generations 0 and 1 drew
    assert calls > 0

    prepare(compose(*line(sources, tmp_path, "ratio=0.25", *PROBED))).run()
    pictures, calls = spy.take()
    assert calls == 0
    assert pictures.isdisjoint(real)
    assert len(pictures) == N  # generation 0 is the same at both ratios, generation 1 is another

    prepare(compose(*line(sources, tmp_path, "ratio=0.5", "seed=1", *PROBED))).run()
    pictures, calls = spy.take()
    assert calls == 0
    assert pictures.isdisjoint(real)
    assert len(pictures) == 2 * N


def test_a_text_encoder_is_not_read_where_all_states_are_in_the_store(
    sources: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(compose(*line(sources, tmp_path, "generations=0"))).run()
    read: list[str] = []
    from collapse_lab.nn.pipeline import PipelineFolder

    network = PipelineFolder.network

    def noted(folder: PipelineFolder, part: str) -> Any:
        read.append(part)
        return network(folder, part)

    monkeypatch.setattr(PipelineFolder, "network", noted)
    prepare(compose(*line(sources, tmp_path, "generations=1"))).run()
    assert {"unet", "vae"} <= set(read)
    assert "text_encoder" not in read


@pytest.mark.parametrize("mirrored", [False, True], ids=["straight", "mirrored"])
def test_a_fit_with_encodings_equals_one_that_encodes_by_itself(folders: dict[str, Path], mirrored: bool) -> None:
    for folder in folders.values():
        settings = {"pixels": Pixels(mirrored=mirrored), "encoding_batch": 4}
        plain, other, data = sd(folder, **settings), sd(folder, **settings), rows(10)
        plain.fit(data, budget(steps=4, batch_size=4), place(), QUIET)

        own = Encoders(other._source, 4, mirrored)
        order = torch.randperm(10, generator=torch.Generator().manual_seed(3))
        # Rows in another order and in parts of other sizes, as stages of other runs hold them
        parts = [own.encode_rows(data.data[order[lo:hi]], "cpu") for lo, hi in ((0, 3), (3, 4), (4, 10))]
        encoded = View([Source(torch.cat(parts))], order.argsort())
        states = {text: own.encode_prompts([text], "cpu") for text in ["", *TEXTS]}
        other.take_states(partial(view_of, states))
        other.fit(replace(data, encoded=encoded), budget(steps=4, batch_size=4), place(), QUIET)
        assert same(other.weights(), plain.weights())
        assert (other.encoders.pictures, other.encoders.prompts) == (0, 0)
        wanted = conditions(["a ten", "a hand", "a ten"])
        assert torch.equal(draw(other, wanted).data, draw(plain, wanted).data)


def view_of(states: dict[str, Tensor], texts: Sequence[str]) -> View:
    return View([Source(torch.cat([states[text] for text in texts]))])


def test_the_encoding_of_a_row_does_not_depend_on_the_rows_beside_it(folders: dict[str, Path]) -> None:
    for folder in folders.values():
        encoders = Encoders(sd(folder)._source, 8)
        data = rows(11).data
        whole = encoders.encode_rows(data, "cpu")
        alone = torch.cat([encoders.encode_rows(data[row : row + 1], "cpu") for row in range(11)])
        assert torch.equal(alone, whole)
        texts = ["", "a hand", "a ten", "an it"]
        one = torch.cat([encoders.encode_prompts([text], "cpu") for text in texts])
        assert torch.equal(one, encoders.encode_prompts(texts, "cpu"))


def test_samples_that_start_from_encoded_pictures_are_those_that_start_from_pictures(folders: dict[str, Path]) -> None:
    model = sd(folders["1.x"], strength=0.5, encoding_batch=4)
    wanted = replace(conditions(["a hand", "a ten", "a hand"]), context=rows(3).data)
    plain = draw(model, wanted)
    view = View.of(rows(5).data).index_select(0, torch.arange(3))
    assert torch.equal(draw(model, replace(wanted, context=view)).data, plain.data)
    encoded = model.encoders.encode_rows(rows(3).data, "cpu")
    model.encoders.pictures = 0
    assert torch.equal(draw(model, replace(wanted, encoded=encoded)).data, plain.data)
    assert model.encoders.pictures == 0


def test_denoising_losses_of_encoded_rows_are_those_of_the_rows(folders: dict[str, Path]) -> None:
    model, data = sd(folders["1.x"]), rows(6)
    times, noise = torch.linspace(0, 0.9, 6), torch.randn(6, *model.noise_shape, generator=place().torch())
    encoded = model.encoders.encode_rows(data.data, "cpu")
    losses = [model.denoising_losses(samples, times, noise) for samples in (data, replace(data, encoded=encoded))]
    assert torch.equal(*losses)


class StopAfter(Silent):
    """Press Ctrl-C after so many rows of the phase `encode`."""

    def __init__(self, rows: int) -> None:
        self._left, self._encodes = rows, False

    def start(self, generation: int, model: str, phase: str, total: int) -> None:
        self._encodes = phase == "encode"

    def advance(self, steps: int = 1) -> None:
        self._left -= steps * self._encodes
        if self._encodes and self._left < 0:
            raise KeyboardInterrupt


def run(line: list[str], folder: Path, progress: Silent) -> list[Any]:
    """Run in this process with some progress, and return the records of the ledger without their seconds."""
    lab = build(compose(*line).cfg, Alone())
    layout = lay_out(lab, progress)
    lab.store.open()
    folder.mkdir(exist_ok=True)
    ledger = Ledger(folder / "ledger.jsonl")
    Loop(lab, layout.work, layout.ruler, ledger, [], folder).run(layout.plan)
    return [replace(record, seconds={}) for record in ledger.records()]


def test_a_run_that_is_stopped_while_it_encodes_keeps_the_parts_that_are_whole(
    sources: list[str], tmp_path: Path, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encodings, "PART", 8)
    plain = "model.strength=1"  # no sample starts from a picture that is trained on too
    whole = run(line(sources, tmp_path / "whole", plain), tmp_path / "a", Silent())
    spy.take()
    stopped = line(sources, tmp_path / "stopped", plain)
    with pytest.raises(KeyboardInterrupt):
        run(stopped, tmp_path / "b", StopAfter(16))
    first, _ = spy.take()
    kept = sum(rows for kind, rows in encoded_rows(tmp_path / "stopped") if kind == "real")
    assert 0 < kept < len(first)
    assert run(stopped, tmp_path / "b", Silent()) == whole
    second, _ = spy.take()
    assert len(first & second) == len(first) - kept  # the part that was under way


def test_latents_are_read_from_files_and_never_held_as_a_whole(
    sources: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encodings, "PART", 8)
    shapes: list[tuple[int, ...]] = []
    views: list[View] = []
    allocate, joined = Store.allocate, View.joined.__func__  # type: ignore[attr-defined]

    def allocated(store: Store, shape: tuple[int, ...], /, *, dtype: torch.dtype) -> Tensor:
        shapes.append(shape)
        return allocate(store, shape, dtype=dtype)

    def kept(cls: type[View], parts: Any) -> View:
        views.append(joined(cls, parts))
        return views[-1]

    monkeypatch.setattr(Store, "allocate", allocated)
    monkeypatch.setattr(View, "joined", classmethod(kept))
    prepare(compose(*line(sources, tmp_path))).run()
    latents = [shape for shape in shapes if shape[1:] == (1, 2, 4, 4, 4)]
    assert latents
    assert max(shape[0] for shape in latents) == 8
    trained = [view for view in views if tuple(view.shape[1:]) == (1, 2, 4, 4, 4) and len(view) == N]
    assert len(trained) >= 3  # a training set of each generation
    assert all(source.file is not None and len(source.rows) <= 8 for view in trained for source in view.sources)


@pytest.mark.parametrize(("trained", "stored"), [(N, 32), (8, 8 + N + 50)], ids=["all", "some"])
def test_pictures_that_are_trained_on_and_drawn_from_are_encoded_once(
    sources: list[str], tmp_path: Path, trained: int, stored: int
) -> None:
    # A training set of more than half of the 32 faces has stages of all of them. Of a smaller one, pictures to start
    # from (N, and 50 of a grid) have stages of their own, which do not depend on what is trained on
    prepare(compose(*line(sources, tmp_path, "generations=0", f"n_train={trained}"))).run()
    assert sum(rows for kind, rows in encoded_rows(tmp_path) if kind == "real") == stored


def test_pictures_that_samples_start_from_stay_in_their_file(sources: list[str], tmp_path: Path) -> None:
    lab = build(compose(*line(sources, tmp_path)).cfg, Alone())
    context = lab.conditions("seen", N).context
    assert isinstance(context, View)
    assert all(source.file is not None for source in context.sources)


def test_a_finished_run_has_nothing_left_to_compute(sources: list[str], tmp_path: Path) -> None:
    composed = compose(*line(sources, tmp_path, *PROBED))
    before = prepare(composed).plan
    prepare(composed).run()
    after = prepare(composed).plan
    assert after.stages_to_do == 0
    assert after.stages_ready == before.stages_to_do


def encoded_rows(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield whether each stage of encodings is of real rows, of samples or of prompts, and its rows."""
    from safetensors import safe_open

    for path in sorted((folder / "runs" / ".store" / "encoding").glob("*/*/manifest.json")):
        manifest = json.loads(path.read_text())
        kind = "prompts" if "texts" in manifest["fields"] else "real" if "block" in manifest["fields"] else "samples"
        with safe_open(path.with_name("tensors.safetensors"), "pt") as file:
            yield kind, file.get_slice("encoded").get_shape()[0]


def test_encodings_of_samples_are_dropped_with_the_samples(sources: list[str], tmp_path: Path) -> None:
    settings = line(sources, tmp_path, "generations=3")
    kept = prepare(compose(*settings, "store=last"))
    kept.run()
    held = Counter(kind for kind, _ in encoded_rows(tmp_path))
    # What generation 0 drew is kept for other runs; what generations 1 and 2 drew is dropped with its encodings
    assert held["samples"] == 1
    assert held["real"] > 0
    assert held["prompts"] > 0


def test_encodings_that_are_not_written_to_disk_give_the_same(sources: list[str], tmp_path: Path) -> None:
    whole = run(line(sources, tmp_path / "a"), tmp_path / "ledgers", Silent())
    few = run(line(sources, tmp_path / "b", "store=metrics", "store.every=2"), tmp_path / "others", Silent())
    assert [record.metrics for record in few] == [record.metrics for record in whole]
    assert [record.keys for record in few] == [record.keys for record in whole]
    held = [Counter(kind for kind, _ in encoded_rows(tmp_path / name)) for name in ("a", "b")]
    assert (held[0]["samples"], held[1]["samples"]) == (2, 1)  # generation 1 is not committed


def test_frozen_networks_stay_as_they_are(folders: dict[str, Path]) -> None:
    model = sd(folders["1.x"])
    before = [{name: value.clone() for name, value in net.state_dict().items()} for net in frozen(model)]
    model.fit(rows(), budget(steps=2), place(), QUIET)
    assert all(same(net.state_dict(), kept) for net, kept in zip(frozen(model), before, strict=True))
