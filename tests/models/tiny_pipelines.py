"""Write text-to-image pipelines with random weights into folders, by diffusers' and transformers' `save_pretrained`."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any, Literal

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel

Kind = Literal["1.x", "2.x", "xl"]
KINDS: tuple[Kind, ...] = ("1.x", "2.x", "xl")
FACTOR = 2  # by which the VAE shrinks sides
LENGTH = 48  # tokens of a prompt, start and end included
START, END = "<|startoftext|>", "<|endoftext|>"

diffusers.utils.logging.set_verbosity_error()
diffusers.utils.logging.disable_progress_bar()
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()


def write_pipeline(folder: Path, kind: Kind = "1.x", channels: int = 3) -> Path:
    """Write a pipeline and return its folder.

    Args:
        folder: where it is written.
        kind: Stable Diffusion 1.x (epsilon, PNDM), 2.x (v, DDIM, linear projections, heads of each resolution) or SDXL
            (two text encoders, size conditions, Euler).
        channels: of the VAE's images.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        parts = {"vae": _vae(channels), "unet": _unet(kind), "scheduler": _scheduler(kind), "tokenizer": tokenizer()}
        parts["text_encoder"] = transformers.CLIPTextModel(_texts(kind, 16))
        if kind == "xl":
            second = transformers.CLIPTextModelWithProjection(_texts(kind, 24))
            StableDiffusionXLPipeline(
                **parts, text_encoder_2=second, tokenizer_2=tokenizer(), add_watermarker=False
            ).save_pretrained(folder)
        else:
            StableDiffusionPipeline(
                **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
            ).save_pretrained(folder)
    return folder


def tokenizer() -> Any:
    """Return CLIP's tokenizer with a vocabulary of single letters and a few longer pieces."""
    letters = [*string.ascii_lowercase, *(f"{letter}</w>" for letter in string.ascii_lowercase)]
    merges = [("h", "a"), ("ha", "n"), ("han", "d</w>"), ("i", "t"), ("e", "n</w>")]
    tokens = [START, END, *letters, *("".join(pair) for pair in merges)]
    return transformers.CLIPTokenizer(
        vocab={token: number for number, token in enumerate(tokens)}, merges=merges, model_max_length=LENGTH
    )


def _vae(channels: int) -> AutoencoderKL:
    return AutoencoderKL(
        in_channels=channels,
        out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=8,
    )


def _texts(kind: str, width: int) -> Any:
    return transformers.CLIPTextConfig(
        vocab_size=len(tokenizer()),
        hidden_size=width,
        intermediate_size=32,
        projection_dim=20,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=LENGTH,
        hidden_act="quick_gelu" if kind == "1.x" else "gelu",
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )


def _unet(kind: str) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=4,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=40 if kind == "xl" else 16,
        attention_head_dim=2 if kind == "1.x" else (2, 4),
        use_linear_projection=kind != "1.x",
        **(SIZES if kind == "xl" else {}),
    )


# What SDXL's U-Net is given beside texts: the embedding of the prompt (20) and six sizes, each by 8 numbers
SIZES = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 20 + 6 * 8,
}


def _scheduler(kind: str) -> Any:
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    if kind == "1.x":
        return diffusers.PNDMScheduler(**betas, skip_prk_steps=True, steps_offset=1)
    if kind == "xl":
        return diffusers.EulerDiscreteScheduler(**betas, steps_offset=1, timestep_spacing="leading")
    return diffusers.DDIMScheduler(
        **betas, clip_sample=False, set_alpha_to_one=False, steps_offset=1, prediction_type="v_prediction"
    )
