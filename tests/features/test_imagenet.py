from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from cleanfid.resize import make_resizer
from sklearn.datasets import load_sample_image
from torch import nn
from torchvision.models import MobileNet_V2_Weights

from collapse_lab.datasets.cifar10 import CIFAR10
from collapse_lab.errors import UserError
from collapse_lab.features.imagenet import ImageNet, SamePadding, efficientnet_lite0
from collapse_lab.types import Samples, Spec
from tests.features.cases import noise

COLOUR = Spec("image", (3, 20, 28))
# ImageNet's classes that certainly belong to a class of CIFAR-10, as ranges of numbers. Deer and horses have almost
# none, so they are left out.
GROUPS = {
    "airplane": [(404, 405), (895, 896)],
    "automobile": [(436, 437), (468, 469), (511, 512), (609, 610), (627, 628), (656, 657), (751, 752), (817, 818)],
    "bird": [(7, 25), (80, 101), (127, 147)],
    "cat": [(281, 286)],
    "dog": [(151, 269)],
    "frog": [(30, 33)],
    "ship": [
        (403, 404),
        (472, 473),
        (510, 511),
        (554, 555),
        (625, 626),
        (628, 629),
        (724, 725),
        (780, 781),
        (914, 915),
    ],
    "truck": [(555, 556), (569, 570), (675, 676), (717, 718), (864, 865), (867, 868)],
}


def write_untrained(path: Path) -> nn.Module:
    """Return a network with random weights and statistics, after saving its tensors as the package does."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = efficientnet_lite0().eval()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.bias.data.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    torch.save({f"_{i}": value for i, value in enumerate(network.state_dict().values())}, path)
    return network


def test_features_and_logits_agree_with_the_network(tmp_path: Path) -> None:
    network, rows = write_untrained(tmp_path / "w.pth"), noise(COLOUR, 5)
    extractor = ImageNet(COLOUR, weights=str(tmp_path / "w.pth"), batch_size=2)
    resizer = make_resizer("PIL", False, "bicubic", (224, 224))
    pixels = [torch.from_numpy(resizer(image.permute(1, 2, 0).numpy())).permute(2, 0, 1) for image in rows.data]
    with torch.inference_mode():
        expected = network((torch.stack(pixels) - 127) / 128)
        features = network.get_submodule("features")((torch.stack(pixels) - 127) / 128)
    assert features.shape == (5, 1280, 7, 7)
    extracted = extractor.extract(rows)
    assert extracted.values.shape == (5, 1280)
    torch.testing.assert_close(extracted.values, features.mean((2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(extractor.logits(rows), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kernel", "stride", "side"), [(3, 2, 8), (3, 2, 7), (5, 2, 8), (5, 1, 6), (5, 2, 9)])
def test_padding_follows_tensorflow(kernel: int, stride: int, side: int) -> None:
    convolution = SamePadding(1, 1, kernel, stride, bias=False).double()
    nn.init.ones_(convolution.weight)
    image = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    out = -(-side // stride)
    before = (
        max((out - 1) * stride + kernel - side, 0) // 2
    )  # since the smaller half of the margin lies above and to the left
    expected = torch.zeros(out, out, dtype=torch.float64)
    for i in range(out):
        for j in range(out):
            top, left = i * stride - before, j * stride - before
            expected[i, j] = image[0, 0, max(top, 0) : top + kernel, max(left, 0) : left + kernel].sum()
    torch.testing.assert_close(convolution(image)[0, 0], expected)


def test_reading_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    write_untrained(tmp_path / "w.pth")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    ImageNet(COLOUR, weights=str(tmp_path / "w.pth")).extract(noise(COLOUR, 2))
    assert torch.equal(torch.rand(3), expected)


def test_files_without_the_tensors_are_refused(tmp_path: Path) -> None:
    (tmp_path / "junk.pth").write_bytes(b"junk")
    with pytest.raises(UserError, match=r"does not hold the tensors .* features\.imagenet\.weights"):
        ImageNet(COLOUR, weights=str(tmp_path / "junk.pth")).extract(noise(COLOUR, 2))
    torch.save({"a": torch.zeros(3)}, tmp_path / "few.pth")
    with pytest.raises(UserError, match="does not hold the tensors"):
        ImageNet(COLOUR, weights=str(tmp_path / "few.pth")).extract(noise(COLOUR, 2))
    torch.save({"a": Path("an object")}, tmp_path / "pickle.pth")
    with pytest.raises(UserError, match="does not hold the tensors"):
        ImageNet(COLOUR, weights=str(tmp_path / "pickle.pth")).extract(noise(COLOUR, 2))


@pytest.mark.hub
def test_the_packaged_network_recognises_photographs(cache: str) -> None:
    data = CIFAR10(cache=cache)
    real = data.load().reference
    labels = [data.classes.index(name) for name in GROUPS]
    rows = np.flatnonzero(np.isin(real.labels, labels))[:240]
    shown = real.take(rows)
    extractor = ImageNet(Spec("image", (3, 32, 32)), cache=cache)
    shares = extractor.logits(shown).softmax(1)
    grouped = torch.stack([sum_of(shares, ranges) for ranges in GROUPS.values()], 1)
    read = np.asarray(labels)[grouped.argmax(1).numpy()]
    accuracy = float((read == shown.labels).mean())
    print(
        f"\n32x32 photographs read as one of {len(GROUPS)} coarse classes: {accuracy:.3f}, by chance {1 / len(GROUPS)}"
    )
    assert accuracy > 4 / len(GROUPS)
    # The numbers are those of torchvision's table of categories, so check three of the groups by name
    names = MobileNet_V2_Weights.IMAGENET1K_V2.meta["categories"]
    assert [names[GROUPS[key][0][0]] for key in ("airplane", "cat", "truck")] == ["airliner", "tabby", "fire engine"]


@pytest.mark.hub
@pytest.mark.parametrize(("photograph", "category"), [("china.jpg", "palace"), ("flower.jpg", "daisy")])
def test_the_packaged_network_names_photographs(photograph: str, category: str, cache: str) -> None:
    image = torch.tensor(load_sample_image(photograph)).permute(2, 0, 1)[:, :427, 106:533].contiguous()
    logits = ImageNet(Spec("image", (3, 427, 427)), cache=cache).logits(Samples(image[None], np.zeros(1, np.int64)))
    assert MobileNet_V2_Weights.IMAGENET1K_V2.meta["categories"][int(logits.argmax())] == category


def test_the_definition_agrees_with_timm(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm", reason="the second witness of the definition, timm, is not installed")
    ours = write_untrained(tmp_path / "w.pth")
    theirs = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-5)


@pytest.mark.hub
def test_neighbours_are_of_one_class_more_often_than_in_pixels(cache: str) -> None:
    real = CIFAR10(cache=cache).load().reference.take(np.arange(300))
    features = ImageNet(Spec("image", (3, 32, 32)), cache=cache).extract(real).values
    shares = [agreement(space, real) for space in (features, real.data.flatten(1).float())]
    print(f"\nnearest neighbour of the same class: features {shares[0]:.3f}, pixels {shares[1]:.3f}")
    assert shares[0] > 2 * shares[1]


def sum_of(shares: torch.Tensor, ranges: list[tuple[int, int]]) -> torch.Tensor:
    return torch.stack([shares[:, start:end].sum(1) for start, end in ranges]).sum(0)


def agreement(values: torch.Tensor, rows: Samples) -> float:
    """Return the share of rows whose nearest neighbour has their label."""
    distances = torch.cdist(values, values).fill_diagonal_(float("inf"))
    return float((rows.labels[distances.argmin(1).numpy()] == rows.labels).mean())
