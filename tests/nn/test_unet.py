from __future__ import annotations

from typing import Any

import pytest
import torch

from collapse_lab.errors import UserError
from collapse_lab.nn.unet import check_unet, unet
from collapse_lab.types import Spec

IMAGE = Spec("image", (1, 8, 8))
SMALL: dict[str, Any] = {
    "channels": (8, 16),
    "attention": (False, True),
    "layers_per_block": 1,
    "attention_head_dim": 8,
    "norm_groups": 4,
}


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 4, 6), (1, 28, 28)])
def test_a_prediction_has_the_shape_of_the_image(shape: tuple[int, int, int]) -> None:
    net, x = unet(Spec("image", shape), **SMALL).eval(), torch.zeros(2, *shape)
    with torch.no_grad():
        early, late = (net(x, torch.tensor(t), return_dict=False)[0] for t in (3, 900))
    assert early.shape == x.shape
    assert not torch.equal(early, late)


def test_a_prediction_depends_on_the_class() -> None:
    net, x = unet(IMAGE, **SMALL, classes=3).eval(), torch.zeros(3, 1, 8, 8)
    with torch.no_grad():
        predictions = net(x, torch.tensor(3), torch.arange(3), return_dict=False)[0]
    assert not torch.equal(predictions[0], predictions[1])
    assert not torch.equal(predictions[1], predictions[2])


@pytest.mark.parametrize(
    ("spec", "channels", "groups", "message"),
    [
        (Spec("image", (1, 9, 8)), (8, 8), 4, "9x8 is not divisible by 2; give fewer"),
        (Spec("image", (1, 8, 10)), (8, 8, 8), 4, "divisible by 4"),
        (Spec("points", (2,)), (8, 8), 4, "model=family draws images; this data set holds points"),
        (IMAGE, (), 4, "one entry per resolution; got 0 and 0"),
        (IMAGE, (8, 12), 8, "norm_groups 8 does not divide .* 12"),
    ],
)
def test_sizes_that_do_not_fit_the_images_are_refused(
    spec: Spec, channels: tuple[int, ...], groups: int, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        check_unet("family", spec, channels, [False] * len(channels), groups)


def test_lists_of_unequal_lengths_and_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(UserError, match="one entry per resolution; got 2 and 1"):
        check_unet("family", IMAGE, (8, 8), (True,), 4)
    with pytest.raises(UserError, match=r"attention_head_dim 12 does not divide model\.channels' 16"):
        unet(IMAGE, **(SMALL | {"attention_head_dim": 12}))
