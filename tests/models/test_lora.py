"""Adapters of a low rank in the U-Net: what peft makes of it is compared with the sum of matrices it stands for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from collapse_lab.errors import UserError
from collapse_lab.nn.pixels import Pixels
from tests.models.cases import QUIET, budget, conditions, draw, place, same
from tests.models.test_stable_diffusion import LATENT, TEXTS, rows, sd
from tests.models.tiny_pipelines import write_pipeline

RANK, ALPHA = 2, 3.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pipeline(tmp_path_factory.mktemp("lora") / "sd", "2.x")


@pytest.fixture
def peft() -> None:
    pytest.importorskip("peft")


@pytest.mark.usefixtures("peft")
def test_fresh_adapters_change_no_sample(folder: Path) -> None:
    wanted = conditions([*TEXTS])
    assert torch.equal(draw(sd(folder, lora_rank=RANK), wanted).data, draw(sd(folder), wanted).data)


@pytest.mark.usefixtures("peft")
def test_a_fit_trains_and_stores_the_adapters_alone(folder: Path) -> None:
    model = sd(folder, lora_rank=RANK, warmup=0.0, lr=1e-2)
    fresh = {name: value.clone() for name, value in model.weights().items()}
    model.fit(rows(), budget(steps=3), place(), QUIET)
    layers = {name.split(".")[1] for name in model.weights()}
    assert {name.split(".")[0] for name in model.weights()} == {"adapters"}
    assert layers == {
        name.replace(".", "/")
        for name, _ in sd(folder).unet.named_modules()
        if name.endswith(("to_q", "to_k", "to_v", "to_out.0"))
    }
    assert all(not torch.equal(value, fresh[name]) for name, value in model.weights().items())
    plain = sd(folder).unet.state_dict()
    kept = {name.replace(".base_layer", ""): value for name, value in model.unet.state_dict().items()}
    assert same({name: kept[name] for name in plain}, plain)


@pytest.mark.usefixtures("peft")
def test_an_adapted_unet_predicts_what_the_summed_weights_predict(folder: Path) -> None:
    model = sd(folder, lora_rank=RANK, lora_alpha=ALPHA, lr=1e-2, warmup=0.0, pixels=Pixels(stored="float32"))
    model.fit(rows(), budget(steps=10), place(), QUIET)
    plain = sd(folder, pixels=Pixels(stored="float32"))
    summed = plain.unet.state_dict()
    pairs: Any = model.adapters
    for name, pair in pairs.items():
        summed[f"{name.replace('/', '.')}.weight"] += ALPHA / RANK * pair["B"].weight.data @ pair["A"].weight.data
    plain.unet.load_state_dict(summed)
    z, t = torch.randn(2, *LATENT, generator=place().torch()), torch.tensor([10, 900])
    states = model.condition(rows(2))[:]
    with torch.no_grad():
        ours, theirs, base = (net.predict(z, t, states) for net in (model, plain, sd(folder)))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert float((ours - base).abs().max()) > 1e-3


@pytest.mark.usefixtures("peft")
def test_loaded_adapters_sample_the_same_and_follow_the_model_to_another_type(folder: Path) -> None:
    model = sd(folder, lora_rank=RANK, lr=1e-2)
    model.fit(rows(), budget(steps=3), place(), QUIET)
    loaded, wanted = sd(folder, lora_rank=RANK), conditions([*TEXTS])
    loaded.load(model.weights())
    assert torch.equal(draw(loaded, wanted).data, draw(model, wanted).data)
    loaded.double()  # as a move to a GPU: the U-Net goes with its adapters
    assert {parameter.dtype for parameter in loaded.unet.parameters()} == {torch.float64}


@pytest.mark.usefixtures("peft")
def test_layers_that_do_not_exist_are_refused(folder: Path) -> None:
    with pytest.raises(UserError, match=r"model\.lora_targets=\['to_qq'\] names no layers .*; give the ends of names"):
        sd(folder, lora_rank=RANK, lora_targets=["to_qq"])


def test_adapters_without_peft_are_refused_with_the_way_to_get_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match=r"model\.lora_rank needs peft, .* pip install 'collapse-lab\[sd\]'"):
        sd(folder, lora_rank=RANK)
