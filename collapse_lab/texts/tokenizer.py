"""Provide tokenizers: a byte-level BPE trained on the corpus, or the one of a pretrained model."""

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
from collapse_lab.texts.checkpoints import checkpoint, need_of
from collapse_lab.types import Need, Tokens

if TYPE_CHECKING:
    from torch import Tensor

END = "<|endoftext|>"
LEAST = 257  # the smallest vocabulary: every byte, and the mark between documents
BATCH = 100  # how many documents are encoded at once
QUICK = 2_000_000  # from fewer characters than this a vocabulary is learnt in about a second, so it is not cached


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """Turn texts into rows of ids, and rows of ids into texts.

    Attributes:
        backend: a `tokenizers.Tokenizer`.
        end: the id between one document and the next.
    """

    backend: Any
    end: int

    @cached_property
    def size(self) -> int:
        """Return the size of the vocabulary; ids lie in [0, size)."""
        ids: dict[str, int] = self.backend.get_vocab()
        return 1 + max(ids.values())

    @cached_property
    def identity(self) -> str:
        """Return the SHA-256 of the serialised tokenizer, without marks around a text, padding and truncation.

        `encode` uses none of these three, so tokenizers that differ only in them are the same.
        """
        settings = json.loads(self.backend.to_str())
        unused = ("post_processor", "padding", "truncation")
        kept = {name: value for name, value in settings.items() if name not in unused}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()

    @property
    def tokens(self) -> Tokens:
        """Return how the rows of a data set with this tokenizer read, as its `Spec` holds it."""
        return Tokens(self.size, self.identity, self.decode, self.backend.to_str, self.backend.id_to_token(self.end))

    def __post_init__(self) -> None:
        self.backend.encode_special_tokens = True  # so a mark that is spelt out in a text is encoded as text

    def encode(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        """Yield the ids of each text, (length,) int64, without marks at its beginning or end."""
        for start in range(0, len(texts), BATCH):
            for encoding in self.backend.encode_batch_fast(texts[start : start + BATCH], add_special_tokens=False):
                yield np.array(encoding.ids, np.int64)

    def decode(self, rows: Tensor) -> list[str]:
        """Return rows of ids (n, length) as n texts, with a line break between documents."""
        return ["\n".join(filter(None, documents)) for documents in self.documents(rows.tolist())]

    def documents(self, rows: Sequence[list[int]]) -> list[list[str]]:
        """Return the texts between the marks of each row of ids: one more than the row has marks."""
        cut = [_split(row, self.end) for row in rows]
        texts = iter(self.backend.decode_batch([piece for row in cut for piece in row], skip_special_tokens=True))
        return [[next(texts) for _ in row] for row in cut]

    def joined(self, documents: Sequence[str]) -> list[int]:
        """Return the ids of documents one after another, with the mark between them."""
        ids: list[int] = []
        for encoded in self.encode(documents):
            ids += [self.end, *encoded.tolist()]
        return ids[1:]


def from_serialised(settings: str, end: str) -> Tokenizer:
    """Return the tokenizer of a data set from its JSON and the name of its mark between documents (`Tokens`)."""
    from tokenizers import Tokenizer as Backend

    backend: Any = Backend.from_str(settings)
    return Tokenizer(backend, backend.token_to_id(end))


def tokenizer(name: str, vocabulary: int, corpus_texts: Sequence[str], root: str) -> Tokenizer:
    """Return the tokenizer `bpe`, learnt from `corpus_texts`, or the one of `checkpoint(name)`.

    Args:
        name: `bpe`, or a name that `checkpoint` takes.
        vocabulary: the number of entries of `bpe`, 257 or more; unused for other names.
        corpus_texts: the documents that `bpe` is learnt from; unused for other names.
        root: the cache (paths.data).

    Raises:
        UserError: a vocabulary too small for all bytes or larger than the texts allow, an unknown name, or a
            checkpoint without a fast tokenizer or without a mark between documents.
    """
    return _learnt(vocabulary, corpus_texts, root) if name == "bpe" else _pretrained(name, root)


def _learnt(vocabulary: int, texts: Sequence[str], root: str) -> Tokenizer:
    """Return `bpe`; from many texts it is learnt once and then read from the cache."""
    if vocabulary < LEAST:
        raise UserError(
            f"vocabulary is {LEAST} or more, since every byte and the mark between documents needs an entry; got "
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
            learnt = _learn(vocabulary, texts)
            write_whole(make_folder(path.parent, "paths.data") / path.name, learnt.to_str())
        backend = _read(path)
    return Tokenizer(backend, backend.token_to_id(END))


def _learn(vocabulary: int, texts: Sequence[str]) -> Any:
    """Return a byte-level BPE as in GPT-2: id 0 is the mark between documents, then the bytes, then the merges."""
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
    except Exception as error:  # because the library raises this class itself
        raise UserError(f"{path} is damaged ({error}): delete it, and it will be learnt again") from error


def need_of_tokenizer(name: str, root: str) -> Need:
    """Return the tokenizer of a language model as something that a run takes from elsewhere."""
    return need_of(name, root, "tokenizer", lambda local: _pretrained(name, root, local))


def _pretrained(name: str, root: str, local: bool = False) -> Tokenizer:
    from transformers import AutoTokenizer

    source = checkpoint(name, root)
    try:
        with quiet():
            pretrained = AutoTokenizer.from_pretrained(
                source, cache_dir=Path(root).expanduser() / "hub", local_files_only=local
            )
    except Exception as error:  # because the hub, tokenizers and transformers each raise classes of their own
        reason = " ".join(f"{type(error).__name__}: {error}".split())  # because the hub's messages have many lines
        raise UserError(
            f"the tokenizer of '{name}' cannot be read ({reason}): give a folder that save_pretrained wrote, or check "
            "the name and the network"
        ) from error
    backend = getattr(pretrained, "backend_tokenizer", None)
    if backend is None:
        raise UserError(f"'{name}' has no fast tokenizer (tokenizer.json): give another, or tokenizer=bpe")
    # Because transformers reads a folder without a tokenizer's files as a tokenizer of marks alone, refuse that
    if len(pretrained) <= len(pretrained.all_special_ids):
        raise UserError(f"'{name}' has no tokenizer: give the folder its tokenizer.json, or another model")
    if pretrained.eos_token_id is None:
        raise UserError(f"the tokenizer of '{name}' has no eos_token to put between documents: give another")
    backend.no_padding()
    backend.no_truncation()
    return Tokenizer(backend, int(pretrained.eos_token_id))


def _split(row: list[int], mark: int) -> list[list[int]]:
    pieces: list[list[int]] = [[]]
    for token in row:
        if token == mark:
            pieces.append([])
        else:
            pieces[-1].append(token)
    return pieces
