"""What a metric's name in the ledger means to a reader."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

THEORY = "_theory"  # what theory says of a quantity, beside what was measured
SUFFIXES = ("_lo", "_hi", "_floor", THEORY)
# The metrics that tell the story, in the order in which they tell it.
KEY = ("fid", "precision", "recall", "coverage", "agreement")
# metric: its plain name, which way is better, and the top of its range where it has one.
_PLAIN: dict[str, tuple[str, str, float | None]] = {
    "fid": ("Fréchet distance (FID)", "lower", None),
    "fd_infinity": ("Fréchet distance at infinite n", "lower", None),
    "kid": ("Kernel distance (KID)", "lower", None),
    "cmmd": ("CLIP kernel distance (CMMD)", "lower", None),
    "precision": ("Precision", "higher", 1.0),
    "recall": ("Recall", "higher", 1.0),
    "density": ("Density", "higher", None),
    "coverage": ("Coverage", "higher", 1.0),
    "agreement": ("Prompt agreement", "higher", 1.0),
    "accuracy": ("Accuracy", "higher", 1.0),
    "perplexity": ("Perplexity", "lower", None),
    "log_likelihood": ("Log-likelihood", "higher", None),
    "denoising_loss": ("Denoising loss", "lower", None),
    "vendi": ("Vendi score (effective number of samples)", "higher", None),
    "pairwise_distance": ("Mean distance between samples", "higher", None),
    "mode_coverage": ("Share of classes generated", "higher", 1.0),
    "class_entropy": ("Entropy of the class histogram", "higher", None),
    "authenticity": ("Authenticity", "higher", 1.0),
    "near_copies": ("Share of near copies", "lower", 1.0),
    "clip_score": ("CLIP score", "higher", None),
}
# One for each class, `class_share_3`: parts of one picture, not panels of their own.
CLASS_SHARE = "class_share_"


@dataclass(frozen=True)
class Name:
    """A metric's name, `<subset>/<features>/<metric>` or `<subset>/<probe>`, taken apart."""

    key: str
    subset: str
    features: str
    metric: str

    @classmethod
    def of(cls, key: str) -> Name:
        """A name without a subset is of the subset `all`."""
        subset, *features, metric = key.split("/") if "/" in key else ("all", key)
        return cls(key, subset, "/".join(features), metric)

    @property
    def is_class_share(self) -> bool:
        """Whether it is one bar of the class histogram; the class is `metric.removeprefix(CLASS_SHARE)`."""
        return self.metric.startswith(CLASS_SHARE)

    @property
    def plain(self) -> str:
        """E.g. "Fréchet distance (FID)"; an unknown metric is called what the ledger calls it."""
        return self.metric.replace("_", " ").capitalize() if self._known is None else self._known[0]

    @property
    def short(self) -> str:
        """For tables and sentences: "FID", "recall"."""
        if self.metric == "fd_infinity":
            return "FD∞"
        return self.metric.upper() if self.metric in ("fid", "kid", "cmmd") else self.metric.replace("_", " ")

    @property
    def better(self) -> str:
        """Either "lower", "higher" or "" where it is not known."""
        return "" if self._known is None else self._known[1]

    @property
    def top(self) -> float | None:
        """The greatest value that it can take, where there is one."""
        return None if self._known is None else self._known[2]

    @property
    def where(self) -> str:
        """E.g. "seen prompts"; "" for the subset of everything."""
        return "" if self.subset == "all" else f"{self.subset} prompts"

    @property
    def space(self) -> str:
        """E.g. "classifier features"; "" for a probe, which looks inside the model."""
        return f"{self.features.removesuffix('s')} features" if self.features else ""

    @property
    def is_key(self) -> bool:
        """Whether it belongs to the first figure; pixels are a check on the embedding, not the result."""
        return self.metric in KEY and self.features != "pixels"

    @property
    def _known(self) -> tuple[str, str, float | None] | None:
        if self.is_class_share:
            return (f"Share of class {self.metric.removeprefix(CLASS_SHARE)}", "", 1.0)
        return _PLAIN.get(self.metric)


def base_names(keys: Iterable[str]) -> list[Name]:
    """The metrics among `keys`, intervals and floors aside, key metrics first, subsets side by side."""
    given = set(keys)
    names = [Name.of(k) for k in given if not any(k.endswith(s) and k.removesuffix(s) in given for s in SUFFIXES)]
    return sorted(names, key=_order)


def _order(name: Name) -> tuple[bool, int, str, str, str]:
    rank = KEY.index(name.metric) if name.metric in KEY else len(KEY)
    return (not name.is_key, rank, name.metric, name.features, name.subset)
