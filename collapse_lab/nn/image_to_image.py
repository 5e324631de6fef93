"""Make pictures from others by image-to-image: noise is added to a picture, and removed again under a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.nn.pipeline import PipelineFolder
from collapse_lab.quiet import quiet


class ImageToImage:
    """Run diffusers' image-to-image pipeline with the parts of a folder and its own scheduler (arXiv:2108.01073).

    Args:
        folder: The pipeline.
        strength: The share of the noising process that a picture goes through, in (0, 1]. 1 keeps nothing of it.
        steps: The steps of the whole process, of which the share `strength` is computed.
        guidance_scale: w in eps_uncond + w (eps_cond - eps_uncond); 1 is no guidance.
        device: cpu or cuda.
    """

    def __init__(self, folder: PipelineFolder, strength: float, steps: int, guidance_scale: float, device: str) -> None:
        self._options = {"strength": strength, "num_inference_steps": steps, "guidance_scale": guidance_scale}
        self._pipeline = _read(folder).to(device)
        self._pipeline.set_progress_bar_config(disable=True)

    def __call__(
        self, pictures: UInt8[Tensor, "n 3 h w"], prompts: Sequence[str], noises: Sequence[torch.Generator]
    ) -> UInt8[np.ndarray, "n 3 h w"]:
        """Return a picture for each picture.

        Args:
            pictures: The pictures.
            prompts: A prompt for each picture.
            noises: A generator for each picture, which its noise is drawn from.
        """
        with torch.inference_mode():
            made = self._pipeline(
                prompt=list(prompts),
                image=pictures.float() / 255,
                generator=list(noises),
                output_type="np",
                **self._options,
            ).images
        images: np.ndarray = np.rint(255 * made.transpose(0, 3, 1, 2)).astype(np.uint8)
        return images


def _read(folder: PipelineFolder) -> Any:
    import diffusers

    parts: dict[str, Any]
    if folder.two_texts:
        source, parts = diffusers.StableDiffusionXLImg2ImgPipeline, {"add_watermarker": False}
    else:
        source = diffusers.StableDiffusionImg2ImgPipeline
        # Because a filter would put black pictures among the real ones
        parts = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    with quiet():
        try:
            return source.from_pretrained(folder.path, local_files_only=True, use_safetensors=True, **parts)
        except Exception as error:  # because safetensors, tokenizers and both libraries raise their own
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise UserError(
                f"{folder.path} cannot be read by {source.__name__} of diffusers ({reason}): write the folder again by "
                "save_pretrained"
            ) from error
