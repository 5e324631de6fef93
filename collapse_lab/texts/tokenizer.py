"""Tokenizers: a byte-level BPE trained on the corpus, or a pretrained model's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version as release
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.quiet import quiet
from collapse_lab.storage.files import make_folder, write_whole
from collapse_lab.texts.checkpoints import checkpoint
from collapse_lab.types import Tokens

if TYPE_CHECKING:
    from torch import Tensor

END = "<|endoftext|>"
LEAST = 257  # every byte, and the mark between documents
BATCH = 100  # documents that are encoded at once
QUICK = 2_000_000  # characters that are learnt from in a second or so


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """Texts as rows of ids, and back.

    backend: a `tokenizers.Tokenizer`.
    end: the id between one document and the next.
    """

    backend: Any
    end: int

    @cached_property
    def size(self) -> int:
        """Ids lie in [0, size)."""
        ids: dict[str, int] = self.backend.get_vocab()
        return 1 + max(ids.values())

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the serialised tokenizer, but for what it would put around a text, which is not asked for."""
        said = json.loads(self.backend.to_str())
        kept = {name: value for name, value in said.items() if name not in ("post_processor", "padding", "truncation")}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()

    @property
    def tokens(self) -> Tokens:
        """What a data set promises of its rows."""
        return Tokens(self.size, self.identity, self.decode)

    def __post_init__(self) -> None:
        self.backend.encode_special_tokens = True  # a mark that a text spells out is text

    def encode(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        """Each text as ids (length,) int64, without marks of beginning or end."""
        for start in range(0, len(texts), BATCH):
            for found in self.backend.encode_batch_fast(texts[start : start + BATCH], add_special_tokens=False):
                yield np.array(found.ids, np.int64)

    def decode(self, rows: Tensor) -> list[str]:
        """Rows of ids (n, length) as n texts, with a line break between documents."""
        cut = [_split(row, self.end) for row in rows.tolist()]
        texts = iter(self.backend.decode_batch([piece for row in cut for piece in row], skip_special_tokens=True))
        return ["\n".join(filter(None, (next(texts) for _ in row))) for row in cut]


def tokenizer(name: str, vocabulary: int, corpus_texts: Sequence[str], root: str) -> Tokenizer:
    """The tokenizer `bpe`, with `vocabulary` entries learnt from `corpus_texts`, or that of `checkpoint(name)`.

    root: the cache (paths.data).
    Raises: UserError for a vocabulary that holds not all bytes or more than the texts give, an unknown name, and a
        checkpoint without a fast tokenizer or without a mark between documents.
    """
    return _learnt(vocabulary, corpus_texts, root) if name == "bpe" else _pretrained(name, root)


def _learnt(vocabulary: int, texts: Sequence[str], root: str) -> Tokenizer:
    """`bpe`, from the cache where the texts are so many that learning takes a while."""
    if vocabulary < LEAST:
        raise UserError(
            f"vocabulary is {LEAST} or more, since every byte and the mark between documents has an entry; got "
            f"{vocabulary}"
        )
    if sum(map(len, texts)) < QUICK:
        backend = _learn(vocabulary, texts)
    else:
        digest = hashlib.sha256(release("tokenizers").encode())
        for text in texts:
            digest.update(b"\0" + text.encode())
        path = Path(root).expanduser() / "tokenizers" / f"bpe-{vocabulary}-{digest.hexdigest()[:16]}.json"
        if not path.is_file():
            made = _learn(vocabulary, texts)
            write_whole(make_folder(path.parent, "paths.data") / path.name, made.to_str())
        backend = _read(path)
    return Tokenizer(backend, backend.token_to_id(END))


def _learn(vocabulary: int, texts: Sequence[str]) -> Any:
    """Byte-level BPE as in GPT-2: id 0 is the mark between documents, then the bytes, then the merges."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers, trainers

    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer, length=len(texts))
    size = backend.get_vocab_size()
    if size < vocabulary:
        raise UserError(
            f"vocabulary={vocabulary} is more than the training documents give, which is {size} entries: lower it, or "
            "take a larger corpus"
        )
    return backend


def _read(path: Path) -> Any:
    from tokenizers import Tokenizer as Backend

    try:
        return Backend.from_file(str(path))
    except Exception as error:  # a bare one is what the library raises
        raise UserError(f"{path} is damaged ({error}): delete it, and it is made anew") from error


def _pretrained(name: str, root: str) -> Tokenizer:
    from transformers import AutoTokenizer

    source = checkpoint(name, root)
    try:
        with quiet():
            found = AutoTokenizer.from_pretrained(source, cache_dir=Path(root).expanduser() / "hub")
    except Exception as error:  # the hub, tokenizers and transformers have their own
        raise UserError(
            f"the tokenizer of '{name}' cannot be read ({type(error).__name__}: {error}): give a folder that "
            "save_pretrained wrote, or check the name and the network"
        ) from error
    backend = getattr(found, "backend_tokenizer", None)
    if backend is None:
        raise UserError(f"'{name}' has no fast tokenizer (tokenizer.json): give another, or tokenizer=bpe")
    if len(found) <= len(found.all_special_ids):  # what transformers makes of a folder without a tokenizer's files
        raise UserError(f"'{name}' has no tokenizer: give the folder its tokenizer.json, or another model")
    if found.eos_token_id is None:
        raise UserError(f"the tokenizer of '{name}' has no eos_token to put between documents: give another")
    backend.no_padding()
    backend.no_truncation()
    return Tokenizer(backend, int(found.eos_token_id))


def _split(row: list[int], mark: int) -> list[list[int]]:
    pieces: list[list[int]] = [[]]
    for token in row:
        if token == mark:
            pieces.append([])
        else:
            pieces[-1].append(token)
    return pieces
