"""What is exported of each family draws, opened by diffusers or transformers alone, what the run sampled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
import transformers

from tests.models.tiny_pipelines import write_pipeline
from tests.sharing.runs import DIGITS, LANGUAGE, LATENT, NET, SMALL, TEXT, chosen, computed, exported, fitted, sampled

TOLERANCE = 1e-5
Call = Callable[[list[str], list[int]], dict[str, Any]]  # (captions, labels) -> the arguments of a pipeline


def by_number(captions: list[str], labels: list[int]) -> dict[str, Any]:
    return {"batch_size": len(labels)}


def by_label(captions: list[str], labels: list[int]) -> dict[str, Any]:
    return {"labels": labels}


def by_prompt(captions: list[str], labels: list[int]) -> dict[str, Any]:
    return {"prompt": captions}


DDIM = [*DIGITS, "model=ddim", *NET]
FLOW = ["model.objective=flow", "model.sampler.scheduler=FlowMatchEulerDiscreteScheduler"]
WITH_CLASS: dict[str, tuple[list[str], Call]] = {
    "ddim_range": ([*DDIM, "model.pixels.range=[0,1]", "model.sampler.options={eta: 0.5}"], by_number),
    "ddim_flow": ([*DDIM, *FLOW], by_number),
    "ddpm": ([*DIGITS, "model=ddpm", *NET, "model.guidance_interval=[0.2,0.8]"], by_label),
    "text2image": ([*DIGITS, "model=text2image", *NET, *TEXT, "model.objective=v"], by_prompt),
}


class Shelf:
    """Computes each run once, and exports it once."""

    def __init__(self, place: Path) -> None:
        self.place, self._done = place, dict[str, tuple[Path, Path]]()

    def get(self, name: str, *overrides: str) -> tuple[Path, Path]:
        """Return the folder of a run and that of its export."""
        if name not in self._done:
            run = computed(self.place / "runs", *overrides)
            self._done[name] = run, exported(run, self.place / name)
        return self._done[name]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("families"))


def opened(folder: Path) -> Any:
    """Open a folder by diffusers, by its own class where one lies beside the weights."""
    index = json.loads((folder / "model_index.json").read_text())
    own = isinstance(index["_class_name"], list)
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, **({"trust_remote_code": True} if own else {}))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def assert_same_images(run: Path, folder: Path, call: Call, **more: Any) -> Any:
    """Compare the images that an exported pipeline draws with those in the store, and return the pipeline."""
    pipeline, (samples, noise) = opened(folder), sampled(chosen(run))
    given = call(samples.captions.texts(), samples.labels.tolist())
    drawn = pipeline(**given, generator=noise, output_type="pt", **more).images
    torch.testing.assert_close(drawn, ((samples.data + 1) / 2).clamp(0, 1), rtol=0, atol=TOLERANCE)
    return pipeline


@pytest.mark.parametrize("name", WITH_CLASS)
def test_a_pipeline_with_its_class_beside_it_draws_what_the_run_sampled(name: str, shelf: Shelf) -> None:
    overrides, call = WITH_CLASS[name]
    pipeline = assert_same_images(*shelf.get(name, *overrides), call)
    assert type(pipeline).__name__ == "PixelDiffusionPipeline"


def test_ddim_is_the_pipeline_of_diffusers(shelf: Shelf) -> None:
    run, folder = shelf.get("ddim", *DDIM, "model.sampler.options={eta: 0.5}")
    pipeline = assert_same_images(run, folder, by_number, num_inference_steps=3, eta=0.5)
    assert type(pipeline) is diffusers.DDIMPipeline
    assert not list(folder.glob("*.py"))
    assert "num_inference_steps=3, eta=0.5" in (folder / "README.md").read_text()


def test_pipelines_say_what_they_need_and_what_they_do_not_take(shelf: Shelf) -> None:
    plain, classes, texts = (opened(shelf.get(n, *WITH_CLASS[n][0])[1]) for n in ("ddim_range", "ddpm", "text2image"))
    for pipeline, given, said in (
        (plain, {"prompt": "a"}, "takes no prompts"),
        (plain, {"labels": [1]}, "has no classes"),
        (classes, {}, "whole numbers from 0 to 9"),
        (classes, {"labels": [10]}, "whole numbers from 0 to 9"),
        (classes, {"prompt": "a"}, "takes no prompts"),
        (texts, {}, "what a prompt says"),
        (texts, {"prompt": "a", "labels": [1]}, "no labels"),
    ):
        with pytest.raises(ValueError, match=said):
            pipeline(**given)
    assert [image.size for image in texts("a handwritten two", num_inference_steps=1).images] == [(8, 8)]


def test_the_text_encoder_of_text2image_is_a_class_of_transformers(shelf: Shelf) -> None:
    run, folder = shelf.get("text2image", *WITH_CLASS["text2image"][0])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "tokenizer")
    encoder = transformers.SiglipTextModel.from_pretrained(folder / "text_encoder")
    model = fitted(chosen(run))
    texts = ["", "a handwritten zero", "a HANDWRITTEN unheard-of nine", "[START] two", "four " * 20]
    tokens = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
    assert torch.equal(tokens.input_ids, model.tokenize(texts))
    with torch.no_grad():
        states = encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0]
        torch.testing.assert_close(states, model.text(model.tokenize(texts)), rtol=0, atol=TOLERANCE)


def test_a_vae_is_written_with_its_classes_and_samples_from_its_prior(shelf: Shelf) -> None:
    line = ["+experiment=recursive_vae", *SMALL, "dataset=digits", "dataset.limit=64", "model.channels=4"]
    run, folder = shelf.get("vae", *line)
    pipeline, one = opened(folder), chosen(run)
    (samples, noise), model = sampled(one), fitted(one)
    images = pipeline(batch_size=len(samples), generator=noise, output_type="pt").images
    z = torch.randn(len(samples), model.latent, generator=sampled(one)[1])
    with torch.no_grad():
        torch.testing.assert_close(images, model.decode(z).sigmoid(), rtol=0, atol=TOLERANCE)
        ours, theirs = model.encode(images), pipeline.vae.encode(images)
    assert torch.equal((images * 255).round().to(torch.uint8), samples.data)
    torch.testing.assert_close(theirs, ours, rtol=0, atol=TOLERANCE)


OWN = ["model.autoencoder.channels=[8,8]", "model.autoencoder.norm_groups=4", *NET, "model.attention_head_dim=2"]


def test_latent_diffusion_is_a_whole_pipeline_of_stable_diffusion(shelf: Shelf) -> None:
    run, folder = shelf.get("latent", *DIGITS, "model=latent_diffusion", *OWN, *TEXT, "model.guidance_scale=3")
    pipeline = assert_same_images(run, folder, by_prompt, num_inference_steps=3, guidance_scale=3.0)
    assert type(pipeline) is diffusers.StableDiffusionPipeline
    assert not list(folder.glob("**/*.py"))
    assert "num_inference_steps=3, guidance_scale=3" in (folder / "README.md").read_text()


LORA = ["model.lora_rank=2", "model.lora_alpha=6", "model.optimisation.lr=0.05"]


@pytest.mark.parametrize(("kind", "more"), [("1.x", []), ("xl", []), ("2.x", LORA)], ids=["1.x", "xl", "2.x_lora"])
def test_stable_diffusion_is_a_whole_pipeline(kind: Any, more: list[str], shelf: Shelf) -> None:
    if more:
        pytest.importorskip("peft")
    source = write_pipeline(shelf.place / f"source_{kind}", kind, channels=1)
    run, folder = shelf.get(f"sd_{kind}", *DIGITS, *LATENT, *more, f"model.pretrained={source}")
    pipeline = assert_same_images(run, folder, by_prompt, height=8, width=8, num_inference_steps=2, guidance_scale=7.5)
    assert type(pipeline).__name__ == ("StableDiffusionXLPipeline" if kind == "xl" else "StableDiffusionPipeline")
    before = diffusers.UNet2DConditionModel.from_pretrained(source / "unet").state_dict()
    after = pipeline.unet.state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert after.keys() == before.keys()
    assert changed
    targets = ("to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight")
    assert all(name.endswith(targets) for name in changed) == bool(more)  # adapters are merged into their layers alone


def test_a_language_model_gives_the_same_logits_in_transformers(shelf: Shelf) -> None:
    run, folder = shelf.get("lm", *LANGUAGE)
    one = chosen(run)
    tokens, net = sampled(one)[0].data, fitted(one).net
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        torch.testing.assert_close(theirs(tokens).logits, net(tokens).logits, rtol=0, atol=TOLERANCE)
    tokenizer, text = transformers.AutoTokenizer.from_pretrained(folder), "Return a list of words, with spaces."
    rows, spec = torch.tensor([tokenizer(text).input_ids]), one.lab.dataset.spec
    assert spec.tokens is not None
    assert spec.tokens.decode(rows) == [text] == [tokenizer.decode(rows[0])]
    assert len(tokenizer) == spec.tokens.size
    assert spec.tokens.decode(tokens) == [tokenizer.decode(row, skip_special_tokens=True) for row in tokens]


ALONE = """
import sys
import numpy
import torch
from diffusers import DiffusionPipeline
folder, out = sys.argv[1:]
pipeline = DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder, trust_remote_code=True)
noise = torch.Generator().manual_seed(7)
images = pipeline("a handwritten three", generator=noise, output_type="np", return_dict=False)[0]
assert not any(name.startswith("collapse_lab") for name in sys.modules)
numpy.save(out, images)
"""


def test_a_process_that_has_no_collapse_lab_draws_the_same(shelf: Shelf, tmp_path: Path) -> None:
    _, folder = shelf.get("text2image", *WITH_CLASS["text2image"][0])
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-c", ALONE, str(folder), str(tmp_path / "images.npy")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    here = opened(folder)("a handwritten three", generator=torch.Generator().manual_seed(7), output_type="np").images
    np.testing.assert_allclose(np.load(tmp_path / "images.npy"), here, atol=TOLERANCE)
