"""Items are distributed over stages: what is shared, what is made once, and what is read from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from collapse_lab.engine import encodings
from collapse_lab.engine.encodings import ENCODED, Parts
from collapse_lab.engine.executor import Alone
from collapse_lab.engine.keys import EncodingKey, digest_of_array
from collapse_lab.engine.stages import Stage
from collapse_lab.storage.store import Payload, Store

PART, REAL_PART = 8, encodings.PART


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encodings, "PART", PART)


class Made:
    """Make stages of items, an item's encoding being ten times its number, and keep the numbers of each stage."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "store", Alone())
        self.store.open()
        self.laid_out: list[list[int]] = []
        self.computed: list[list[int]] = []

    def __call__(self, rows: np.ndarray) -> Stage:
        self.laid_out.append(rows.tolist())

        def produce() -> Payload:
            self.computed.append(rows.tolist())
            return Payload({ENCODED: 10 * torch.from_numpy(rows)[:, None].float()})

        return Stage(self.store, EncodingKey({"version": 1}, digest_of_array(rows), "block"), produce)


def numbers(*items: int) -> np.ndarray:
    return np.array(items, np.int64)


def test_a_run_of_which_half_is_needed_is_one_stage_as_a_whole(tmp_path: Path) -> None:
    made = Made(tmp_path)
    parts = Parts(made)
    parts.cover(numbers(0, 2, 4, 6, 9), 20)
    assert made.laid_out == [[*range(8)], [9]]
    parts.cover(numbers(1, 3, 16, 18), 20)  # the last run has four items, of which two are half
    assert made.laid_out[2:] == [[16, 17, 18, 19]]


def test_training_sets_that_differ_in_a_few_rows_share_their_stages(tmp_path: Path) -> None:
    keys = []
    for seed in range(3):
        chosen = np.random.default_rng(seed).permutation(80)[:72]
        keys.append([stage.key for stage in Parts(Made(tmp_path)).cover(chosen, 80)])
    assert keys[0] == keys[1] == keys[2]
    assert len(keys[0]) == 10


def test_a_few_of_many_rows_are_encoded_alone(tmp_path: Path) -> None:
    made = Made(tmp_path)
    Parts(made).cover(np.arange(0, 800, 100), 800)
    assert sum(map(len, made.laid_out)) == 8


def test_what_is_in_a_stage_is_in_no_other_one(tmp_path: Path) -> None:
    made = Made(tmp_path)
    parts, rng = Parts(made), np.random.default_rng(0)
    for _ in range(20):
        parts.cover(rng.permutation(50)[:3], 50)
    every = [item for stage in made.laid_out for item in stage]
    assert len(every) == len(set(every))


def test_generated_rows_are_encoded_as_a_whole(tmp_path: Path) -> None:
    made = Made(tmp_path)
    Parts(made, whole=True).cover(numbers(3, 17), 20)
    assert made.laid_out == [[*range(8)], [16, 17, 18, 19]]


def test_rows_come_in_the_order_in_which_they_are_asked_for_and_from_files(tmp_path: Path) -> None:
    made = Made(tmp_path)
    parts, wanted = Parts(made), numbers(19, 3, 3, 0, 12)
    parts.cover(wanted, 20)
    view = parts.view(wanted)
    assert view[:].flatten().tolist() == [190, 30, 30, 0, 120]
    assert all(source.file is not None for source in view.sources)  # small ones too, because they are many
    assert len(made.computed) == len(made.laid_out) == 3


def test_more_items_may_follow(tmp_path: Path) -> None:
    made = Made(tmp_path)
    parts = Parts(made)
    parts.cover(numbers(0, 1), 2)
    parts.cover(numbers(0, 2), 3)
    assert made.laid_out == [[0, 1], [2]]
    assert parts.view(numbers(2, 0, 1))[:].flatten().tolist() == [20, 0, 10]


def test_a_part_of_faces_of_512_pixels_takes_less_than_256_megabytes() -> None:
    latents = 2 * 4 * (512 // 8) ** 2 * 4  # mean and deviation, 4 channels, sides shrunk by 8, float32
    assert latents == 131_072
    assert REAL_PART * latents < 2**28


def test_a_damaged_stage_is_encoded_again(tmp_path: Path) -> None:
    made = Made(tmp_path)
    parts = Parts(made)
    (stage,) = parts.cover(np.arange(8), 8)
    stage.value()
    (file,) = (tmp_path / "store" / "encoding").glob("*/*/tensors.safetensors")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    again = Parts(made)
    again.cover(np.arange(8), 8)
    assert again.view(np.arange(8))[:].flatten().tolist() == list(range(0, 80, 10))
    assert len(made.computed) == 2
