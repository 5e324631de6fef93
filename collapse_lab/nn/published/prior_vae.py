"""Hold a convolutional variational autoencoder of images. The module needs torch and diffusers."""

from __future__ import annotations

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn


class PriorVAE(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Decode z ~ N(0, I) to the means of pixels in [0, 1], and encode pixels to the mean and log sigma^2 of z.

    Args:
        colours: The channels of an image.
        height: The height of an image in pixels.
        width: The width of an image in pixels.
        channels: The channels of the first convolution; the second has twice as many.
        latent: The number of dimensions of z.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, colours: int, height: int, width: int, channels: int, latent: int) -> None:
        super().__init__()
        self._code = (height // 4, width // 4, 2 * channels)
        size = height // 4 * (width // 4) * 2 * channels
        self.encoder = nn.Sequential(
            nn.Conv2d(colours, channels, 4, 2, 1), nn.ReLU(), nn.Conv2d(channels, 2 * channels, 4, 2, 1), nn.ReLU()
        )
        self.posterior = nn.Linear(size, 2 * latent)
        self.expand = nn.Linear(latent, size)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(2 * channels, channels, 4, 2, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, colours, 4, 2, 1),
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and log sigma^2 of z, each (n, latent), for pixels (n, c, h, w) in [0, 1]."""
        mean, log_variance = self.posterior(self.encoder(x).permute(0, 2, 3, 1).flatten(1)).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        """Return the means of pixels (n, c, h, w) in [0, 1], for z (n, latent)."""
        logits: Tensor = self.decoder(self.expand(z).unflatten(1, self._code).permute(0, 3, 1, 2))
        return torch.sigmoid(logits)
