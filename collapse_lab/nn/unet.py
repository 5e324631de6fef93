"""U-Nets of diffusers in the sizes of this laboratory, and the checks of their images."""

from __future__ import annotations

from collections.abc import Sequence

from diffusers import UNet2DModel

from collapse_lab.errors import UserError
from collapse_lab.types import Spec


def unet(
    spec: Spec,
    channels: Sequence[int],
    attention: Sequence[bool],
    layers_per_block: int,
    attention_head_dim: int,
    norm_groups: int,
    classes: int | None = None,
) -> UNet2DModel:
    """Return a network from (x_t, t) or (x_t, t, class) to a prediction of the shape of x_t.

    Args:
        spec: The data set, whose samples are images (c, h, w).
        channels: The width of each resolution; every resolution but the first halves the image.
        attention: Whether pixels attend to each other at each resolution. In the middle they always do.
        layers_per_block: The number of residual layers of each resolution.
        attention_head_dim: The channels of an attention head; it divides the channels where there is attention.
        norm_groups: The groups of the group normalisation; they divide all channels.
        classes: The number of classes, whose embedding is added to that of the time; None for no classes.

    Raises:
        UserError: `attention_head_dim` does not divide the channels of a resolution with attention.
    """
    for width in [channels[-1], *(c for c, a in zip(channels, attention, strict=False) if a)]:
        if width % attention_head_dim:
            raise UserError(
                f"model.attention_head_dim {attention_head_dim} does not divide model.channels' {width}; give a divisor"
            )
    return UNet2DModel(
        sample_size=(spec.shape[1], spec.shape[2]),
        in_channels=spec.shape[0],
        out_channels=spec.shape[0],
        block_out_channels=tuple(channels),
        layers_per_block=layers_per_block,
        down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attention),
        up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attention)),
        attention_head_dim=attention_head_dim,
        norm_num_groups=norm_groups,
        num_class_embeds=classes,
    )


def check_unet(family: str, spec: Spec, channels: Sequence[int], attention: Sequence[bool], norm_groups: int) -> None:
    """Refuse a data set and sizes that do not fit a U-Net.

    Args:
        family: The family's name in the configuration.
        spec: The data set.
        channels: The width of each resolution.
        attention: Whether there is attention at each resolution.
        norm_groups: The groups of the group normalisation.

    Raises:
        UserError: the samples are no images; `channels` and `attention` differ in length; the sides cannot be halved as
            often as the depth demands; `norm_groups` does not divide the channels.
    """
    if spec.modality != "image" or len(spec.shape) != 3:
        raise UserError(f"model={family} draws images; this data set holds {spec.modality} of shape {spec.shape}")
    if not channels or len(channels) != len(attention):
        raise UserError(
            f"model.channels and model.attention have one entry per resolution; got {len(channels)} and "
            f"{len(attention)}"
        )
    factor = 2 ** (len(channels) - 1)
    if spec.shape[1] % factor or spec.shape[2] % factor:
        raise UserError(
            f"a U-Net of {len(channels)} resolutions halves the image {len(channels) - 1} times, and {spec.shape[1]}x"
            f"{spec.shape[2]} is not divisible by {factor}; give fewer model.channels, or dataset.image_size"
        )
    for width in channels:
        if width % norm_groups:
            raise UserError(f"model.norm_groups {norm_groups} does not divide model.channels' {width}; give a divisor")
