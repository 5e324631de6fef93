"""Call clean-fid's own functions over a folder of pictures, to compare `Inception` with them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import cleanfid.fid
import cleanfid.inception_pytorch
import numpy as np
import scipy.linalg
import torch
from cleanfid.inception_torchscript import InceptionV3W
from PIL import Image
from torch import Tensor

CPU = torch.device("cpu")
OFFICIAL = "inception-2015-12-05.pt"


def write_pictures(folder: Path, images: Tensor) -> None:
    """Write images (n, c, h, w) uint8 as PNGs whose names sort in their order."""
    folder.mkdir(parents=True)
    for number, image in enumerate(images.permute(0, 2, 3, 1).numpy()):
        Image.fromarray(image.squeeze()).save(folder / f"{number:05}.png")


def torchscript_network(weights: Path, folder: Path) -> Callable[[Tensor], Tensor]:
    """Return clean-fid's wrapper of the network, which looks for the official file name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.load(str(weights)).net, folder / OFFICIAL)  # type: ignore[no-untyped-call]
        network: Callable[[Tensor], Tensor] = InceptionV3W(str(folder), download=False).eval()
    return network


def pytorch_network(weights: Path) -> Callable[[Tensor], Tensor]:
    """Return clean-fid's copy of pytorch-fid's network, with the weights of the TorchScript one, layer by layer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tensors = iter(torch.jit.load(str(weights)).net.layers.state_dict().values())  # type: ignore[no-untyped-call]
        official = cleanfid.inception_pytorch.load_state_dict_from_url
        cleanfid.inception_pytorch.load_state_dict_from_url = lambda *_, **__: None
        load = torch.nn.Module.load_state_dict
        torch.nn.Module.load_state_dict = lambda *_, **__: None  # type: ignore[method-assign]
        try:
            network = cleanfid.inception_pytorch.InceptionV3(output_blocks=[3], resize_input=False).eval()
        finally:
            torch.nn.Module.load_state_dict = load  # type: ignore[method-assign]
            cleanfid.inception_pytorch.load_state_dict_from_url = official
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data.copy_(next(tensors))
        elif isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.fill_(1)
            for tensor in (module.bias.data, module.running_mean, module.running_var):
                assert tensor is not None
                tensor.copy_(next(tensors))
    assert next(tensors, None) is None
    return lambda x: network(x / 255)[0].flatten(1)


def folder_features(folder: Path, network: Callable[[Tensor], Tensor], mode: str) -> np.ndarray:
    """Return the features (n, d) by clean-fid's reading, resizing and batches."""
    features: np.ndarray = cleanfid.fid.get_folder_features(
        str(folder), network, num_workers=0, batch_size=32, device=CPU, mode=mode, verbose=False
    )
    return features


def frechet(x: np.ndarray, y: np.ndarray) -> float:
    """Return clean-fid's distance, or its formula line by line where scipy's sqrtm no longer takes `disp`."""
    try:
        return float(cleanfid.fid.fid_from_feats(x, y))
    except (TypeError, ValueError):
        s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
        shift = x.mean(0) - y.mean(0)
        return float(shift @ shift + s1.trace() + s2.trace() - 2 * scipy.linalg.sqrtm(s1 @ s2).real.trace())
