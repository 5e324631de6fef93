"""The chain of +experiment=nepotistic_emoji at the smallest size, on pictures in the layout of the packages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from collapse_lab.datasets.emoji import GROUPS, NAMES, PICTURES
from tests.datasets.archives import encoded, write_tar
from tests.e2e.command import entries, ledger, only_run
from tests.nursery import Nursery

KEPT = ("smileys & emotion", "animals & nature", "food & drink", "flags")
EACH = 16

LINE = ["+experiment=nepotistic_emoji", "+scale=tiny", "n_train=16", "n_samples=16", "device=cpu", "sinks=[console]"]
LINE += ["dataset.image_size=8", "dataset.reference_fraction=0.3", "features=[pixels]", "metrics=[fid,by_group]"]
LINE += ["model.autoencoder.channels=[8,8]", "model.autoencoder.norm_groups=4", "model.channels=[8,16]"]
LINE += ["model.norm_groups=4", "model.attention_head_dim=2", "model.text_width=16", "model.text_heads=2"]
LINE += ["trainer.steps=6", "trainer.finetune_steps=2", "trainer.batch_size=8"]


def write_emoji(folder: Path, each: int = EACH) -> Path:
    """Write `each` pictures of each of the kept groups, in plain colours, and return the folder."""
    folder.mkdir()
    rows = [
        {"label": f"thing {number}", "hexcode": f"{0x1F000 + 100 * group + number:X}", "group": group}
        for group, name in GROUPS.items()
        for number in range(each)
        if name in KEPT
    ]
    write_tar(folder / NAMES, {"package/en/data.json": json.dumps(rows).encode()})
    colours = np.random.default_rng(0).integers(0, 256, (len(rows), 3)).tolist()
    write_tar(
        folder / PICTURES,
        {
            f"package/assets/{str(row['hexcode']).lower()}.webp": encoded((*colour, 255), "RGBA", "WEBP")
            for row, colour in zip(rows, colours, strict=True)
        },
    )
    return folder


@pytest.fixture(scope="module")
def folder(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("emoji")
    root = write_emoji(place / "packages")
    for ratio in ("0.5", "1"):
        end = nursery.run([*LINE, f"ratio={ratio}", f"dataset.root={root}", f"paths.runs={place / 'runs'}"])
        assert end.code == 0, end.err
    return place / "runs"


def chains(folder: Path) -> list[list[dict[str, Any]]]:
    """Return the ledgers of both ratios, the smaller ratio first."""
    runs = [ledger(path.parent) for path in (folder / "nepotistic_emoji").glob("*/ledger.jsonl")]
    return sorted(runs, key=lambda lines: int(lines[1]["counts"]["synthetic"]))


def test_each_iteration_trains_on_the_share_of_own_pictures(folder: Path) -> None:
    half, whole = chains(folder)
    assert [line["counts"] for line in half][1:] == [{"real": 8, "synthetic": 8}] * 2
    assert [line["counts"] for line in whole][1:] == [{"real": 0, "synthetic": 16}] * 2


def test_seen_and_unseen_prompts_are_compared_with_real_pictures_of_their_groups(folder: Path) -> None:
    for line in chains(folder)[0]:
        assert line["metrics"]["seen/pixels/fid"] > 0
        assert line["metrics"]["unseen/pixels/fid"] > 0
        for number, name in enumerate(("seen", "seen", "unseen", "unseen")):
            assert f"{name}/pixels/group_recall_{number}" in line["metrics"]
        assert "seen/pixels/group_recall_2" not in line["metrics"]


def test_a_metric_that_is_added_to_a_finished_run_computes_its_floors_and_nothing_else(
    nursery: Nursery, folder: Path
) -> None:
    place, before, (_, finished) = folder.parent, entries(folder / ".store"), chains(folder)
    given = [f"dataset.root={place / 'packages'}", f"paths.runs={folder}", "name=measured_again", "ratio=1"]
    end = nursery.run([*LINE, *given, "metrics=[fid,fd_infinity,by_group]"])
    assert end.code == 0, end.err
    computed = sorted(name.split("/")[0] for name in set(entries(folder / ".store")) - set(before))
    assert computed == ["floor", "floor"]  # of seen and of unseen prompts
    again = ledger(only_run(folder, "measured_again"))
    for line, old in zip(again, finished, strict=True):
        new = {name: number for name, number in line["metrics"].items() if "/fd_infinity" not in name}
        assert (new, line["keys"]) == (old["metrics"], old["keys"])
        assert {
            f"{name}/pixels/fd_infinity{end}" for name in ("seen", "unseen") for end in ("", "_lo", "_hi", "_floor")
        } <= set(line["metrics"])


def test_both_ratios_share_generation_0_and_its_autoencoder(folder: Path) -> None:
    half, whole = ([line["keys"]["fit"] for line in lines] for lines in chains(folder))
    assert half[0] == whole[0]
    assert not set(half[1:]) & set(whole[1:])
    fits = {
        name: load_file(path / "tensors.safetensors")
        for name, path in entries(folder / ".store").items()
        if name.startswith("fit/")
    }
    assert len(fits) == 5
    first = next(value for name, value in fits.items() if half[0] in name)
    frozen = {name for name in first if not name.startswith("unet.")}
    for weights in fits.values():
        assert all(np.array_equal(weights[name], first[name]) for name in frozen)
    assert float(first["latent_scale"]) != 1
