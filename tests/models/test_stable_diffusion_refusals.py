"""What Stable Diffusion refuses, before anything is computed, and what identifies a pipeline."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]
from safetensors.torch import load_file, save_file

from collapse_lab.config.building import build
from collapse_lab.config.composing import compose
from collapse_lab.engine.executor import Alone
from collapse_lab.errors import UserError
from collapse_lab.models.stable_diffusion import StableDiffusion
from collapse_lab.nn.pixels import Pixels
from collapse_lab.nn.pretrained import FETCHED, VARIANTS
from collapse_lab.types import Spec
from tests.models.cases import built
from tests.models.tiny_pipelines import LENGTH, write_pipeline

SPEC = Spec("image", (3, 8, 8), ("hand", "ten"), ("a hand", "a ten"))
UNET = Path("unet") / "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pipeline(tmp_path_factory.mktemp("whole") / "sd")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """Return a copy that a test may spoil."""
    return Path(shutil.copytree(whole, tmp_path / "sd"))


def sd(pretrained: Path | str | None, spec: Spec = SPEC, **changes: Any) -> StableDiffusion:
    return built(StableDiffusion, spec, {"pretrained": None if pretrained is None else str(pretrained)} | changes)


def settings(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / UNET), folder / "unet" / "diffusion_pytorch_model.bin")
    (folder / UNET).unlink()


def without_a_weight(folder: Path) -> None:
    weights = load_file(folder / UNET)
    del weights["conv_in.weight"]
    save_file(weights, folder / UNET, {"format": "pt"})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "model_index.json").unlink(), r"has no model_index\.json, so it is no pipeline: give a folder"),
        (lambda f: (f / "model_index.json").write_text("{"), r"model_index\.json cannot be read .*: replace it"),
        (lambda f: shutil.rmtree(f / "vae"), "a StableDiffusionPipeline without vae: write the whole pipeline"),
        (lambda f: settings(f / "model_index.json", tokenizer=[None, None]), "without tokenizer: write the whole"),
        (
            lambda f: settings(f / "model_index.json", transformer=["diffusers", "SD3Transformer2DModel"]),
            r"with transformer, and model=stable_diffusion takes Stable Diffusion 1\.x, 2\.x and SDXL",
        ),
        (
            lambda f: settings(f / "model_index.json", text_encoder_2=["transformers", "CLIPTextModelWithProjection"]),
            "without text_encoder_2, tokenizer_2: write the whole pipeline",
        ),
        (
            lambda f: settings(f / "model_index.json", vae=["diffusers", "AutoencoderTiny"]),
            "the vae of .* is a AutoencoderTiny, and model=stable_diffusion takes a AutoencoderKL",
        ),
        (pickled, r"unet holds pickled weights alone, .* convert them where you trust them, by python -c"),
        (lambda f: (f / UNET).unlink(), r"unet should hold diffusion_pytorch_model\.safetensors, or its shards"),
        (lambda f: (f / UNET).write_bytes(b"x"), r"unet cannot be read by UNet2DConditionModel of diffusers"),
        (without_a_weight, r"unet lacks weights of UNet2DConditionModel \(conv_in\.weight, …\)"),
        (lambda f: settings(f / "unet" / "config.json", in_channels=9), "takes 9 channels, and its VAE gives 4"),
        (lambda f: settings(f / "unet" / "config.json", cross_attention_dim=8), "attends to texts of width 8, and"),
        (
            lambda f: settings(f / "unet" / "config.json", addition_embed_type="text_time"),
            "has addition_embed_type=text_time, and model=stable_diffusion gives it None",
        ),
        (lambda f: settings(f / "vae" / "config.json", latents_mean=[0.0] * 4), "has latents_mean, and latents are"),
        (
            lambda f: settings(f / "scheduler" / "scheduler_config.json", prediction_type="sample"),
            "predicts 'sample' .* trains epsilon and v_prediction",
        ),
        (lambda f: (f / "text_encoder" / "config.json").unlink(), r"has no text_encoder/config\.json"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_a_folder_that_is_no_whole_pipeline_is_refused(
    folder: Path, spoil: Callable[[Path], Any], message: str
) -> None:
    spoil(folder)
    with pytest.raises(UserError, match=message):
        sd(folder)


def test_nothing_and_what_is_no_folder_is_refused(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model=stable_diffusion needs model\.pretrained: a folder"):
        sd(None)
    with pytest.raises(UserError, match=r"is no folder here: correct the path, or give a name on the hub"):
        sd(tmp_path / "nowhere")
    single = tmp_path / "sd15.safetensors"
    single.write_bytes(b"x")
    with pytest.raises(UserError, match=r"is a file, and a folder is expected: convert it by .*from_single_file"):
        sd(single)


def test_a_name_on_the_hub_needs_a_commit_and_is_fetched_only_when_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"owner/sd is no folder here; a name on the hub needs model\.revision"):
        sd("owner/sd")
    with pytest.raises(UserError, match=r"at revision abc cannot be had .*: give model\.download=true to fetch it"):
        sd("owner/sd", revision="abc", cache=str(tmp_path))


def test_a_name_on_the_hub_is_read_from_the_cache(whole: Path, tmp_path: Path) -> None:
    commit = "0" * 40
    shutil.copytree(whole, tmp_path / "hub" / "models--owner--sd" / "snapshots" / commit)
    model, other = sd("owner/sd", revision=commit, cache=str(tmp_path)), sd(whole)
    assert all(torch.equal(value, other.weights()[name]) for name, value in model.weights().items())


def test_only_the_files_that_are_read_are_fetched_from_the_hub() -> None:
    read = ["model_index.json", "scheduler/scheduler_config.json", "tokenizer/vocab.json", "tokenizer_2/merges.txt"]
    read += ["unet/config.json", "unet/diffusion_pytorch_model.safetensors", "text_encoder_2/model.safetensors"]
    read += ["unet/diffusion_pytorch_model.safetensors.index.json", "vae/diffusion_pytorch_model.safetensors"]
    others = ["unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.fp16.safetensors", "v1-5.safetensors"]
    others += ["safety_checker/model.safetensors", "unet/diffusion_pytorch_model.non_ema.safetensors", "README.md"]
    chosen = filter_repo_objects([*read, *others], allow_patterns=[*FETCHED], ignore_patterns=[*VARIANTS])
    assert list(chosen) == read


@pytest.mark.parametrize(
    ("spec", "changes", "message"),
    [
        (Spec("image", (3, 8, 8)), {}, "needs captions and this data set has none; give dataset.templates"),
        (Spec("tokens", (8,), (), ("a",)), {}, "draws images; this data set holds tokens .*: give a data set of"),
        (Spec("image", (1, 8, 8), (), ("a",)), {}, "takes images of 3 channels, and this data set's have 1; give"),
        (Spec("image", (3, 8, 9), (), ("a",)), {}, "shrinks sides by 2, and 8x9 is not divisible by it; give .*size=8"),
        (SPEC, {"pixels": Pixels(range=(0.0, 1.0))}, r"give model\.pixels\.range=\[-1,1\], not \[0\.0, 1\.0\]"),
        (SPEC, {"guidance_interval": (0.9, 0.1)}, r"model\.guidance_interval is \[low, high\]"),
        (SPEC, {"ema_decay": None}, r"model=stable_diffusion keeps a moving average"),
        (
            # 60 letters without a piece in common, with start and end
            Spec("image", (3, 8, 8), (), ("a ten", "q" * 60, "q" * 50)),
            {},
            f"2 of 3 prompts are longer than the {LENGTH} tokens .* the longest has 62: 'qqq",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_data_and_settings_that_do_not_fit_are_refused(
    whole: Path, spec: Spec, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        sd(whole, spec, **changes)


LINE = ["+experiment=nepotistic", "+scale=tiny", "model=stable_diffusion", "features=[]", "metrics=[]", "device=cpu"]


def test_prompts_of_a_file_are_checked_before_anything_is_computed(tmp_path: Path) -> None:
    grey = write_pipeline(tmp_path / "grey", channels=1)
    prompts = tmp_path / "prompts.txt"
    prompts.write_text(f"a hand\n{'q' * 60}\n")
    line = [*LINE, f"model.pretrained={grey}", f"paths.runs={tmp_path}"]
    line += [f"+prompts.sets.own={{_target_: collapse_lab.prompts.File, path: {prompts}}}"]
    with pytest.raises(UserError, match=r"prompt set 'own': 1 of 2 prompts are longer than the 48 tokens"):
        build(compose(*line).cfg, Alone())


def test_the_contents_of_the_parts_identify_a_pipeline_and_its_path_does_not(whole: Path, folder: Path) -> None:
    assert StableDiffusion.checksum(folder) == StableDiffusion.checksum(whole)
    (folder / "README.md").write_text("A card.")
    (folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"a variant that is not read")
    assert StableDiffusion.checksum(folder) == StableDiffusion.checksum(whole)
    settings(folder / "scheduler" / "scheduler_config.json", beta_end=0.02)
    assert StableDiffusion.checksum(folder) != StableDiffusion.checksum(whole)


def test_what_changes_no_result_is_no_part_of_the_identity(tmp_path: Path) -> None:
    grey = write_pipeline(tmp_path / "grey", channels=1)

    def identity(*overrides: str) -> Any:
        line = [*LINE, f"model.pretrained={grey}", f"paths.runs={tmp_path}", *overrides]
        return build(compose(*line).cfg, Alone()).models[0].fit_identity

    plain = identity()
    assert plain["arguments"]["pretrained"] == StableDiffusion.checksum(grey)
    saved = ["model.gradient_checkpointing=true", "model.encoding_batch=1", "model.sampling_batch=1"]
    assert identity(*saved, "model.own_scheduler=true", "model.sampling_precision=bf16-mixed") == plain
    assert identity("model.prompt_dropout=0.2") != plain
