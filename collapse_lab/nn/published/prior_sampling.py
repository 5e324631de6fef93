"""Draw images by decoding standard normal noise. The module needs torch and diffusers."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor


class PriorSamplingPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Decode z ~ N(0, I) by a variational autoencoder.

    Args:
        vae: A `PriorVAE`.
    """

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.register_modules(vae=vae)

    @torch.no_grad()
    def __call__(
        self,
        batch_size: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> Any:
        """Return images.

        Args:
            batch_size: How many images are drawn.
            generator: The generator of the noise.
            latents: Standard normal noise (n, latent); None draws it.
            output_type: `pil`, `np` or `pt`.
            return_dict: Whether an `ImagePipelineOutput` is returned, or a tuple.
        """
        if latents is None:
            shape = (batch_size, self.vae.config.latent)
            latents = randn_tensor(shape, generator=generator, device=self._execution_device, dtype=self.vae.dtype)
        images = self.vae.decode(latents.to(self._execution_device))
        if output_type != "pt":
            images = images.cpu().permute(0, 2, 3, 1).float().numpy()
            images = self.numpy_to_pil(images) if output_type == "pil" else images
        return ImagePipelineOutput(images=images) if return_dict else (images,)
