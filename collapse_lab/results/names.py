"""What a metric's name in the ledger means to a reader."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

THEORY = "_theory"  # what theory says of a quantity, beside what was measured
SUFFIXES = ("_lo", "_hi", "_floor", THEORY)
# The metrics that tell the story, in the order in which they tell it.
KEY = ("fid", "precision", "recall", "coverage", "agreement", "perplexity")
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
    "generated_perplexity": ("Perplexity of generated text under generation 0", "", None),
    "improbable_share": ("Share of improbable text", "lower", None),
    "probable_share": ("Share of highly probable text", "", 1.0),
    "log_likelihood": ("Log-likelihood", "higher", None),
    "variance": ("Variance", "", None),
    "variance_median": ("Median variance", "", None),
    "wasserstein_risk": ("Squared Wasserstein distance", "lower", None),
    "l2_distance": ("L2 distance of densities", "lower", None),
    "test_error": ("Test error", "lower", None),
    "support": ("Categories left", "higher", None),
    "latent_spread": ("Spread of latent means", "", None),
    "denoising_loss": ("Denoising loss", "lower", None),
    "vendi": ("Vendi score (effective number of samples)", "higher", None),
    "pairwise_distance": ("Mean distance between samples", "higher", None),
    "mode_coverage": ("Share of classes generated", "higher", 1.0),
    "class_entropy": ("Entropy of the class histogram", "higher", None),
    "authenticity": ("Authenticity", "higher", 1.0),
    "near_copies": ("Share of near copies", "lower", 1.0),
    "clip_score": ("CLIP score", "higher", None),
    **{f"distinct_{n}": (f"Share of distinct {n}-grams", "higher", None) for n in (1, 2, 3, 4)},
    "vocabulary": ("Distinct tokens", "higher", None),
    "unigram_entropy": ("Entropy of tokens (bits)", "higher", None),
    "rare_token_recall": ("Recall of rare tokens", "higher", 1.0),
    "repetition": ("Repeated 4-grams within a sample", "lower", None),
    "self_bleu": ("Self-BLEU", "lower", 1.0),
}
# One for each class, `class_share_3`: parts of one picture, not panels of their own.
CLASS_SHARE = "class_share_"
# One for each quantile in percent, `generated_perplexity_q05`: they too.
PERPLEXITY_QUANTILE = "generated_perplexity_q"


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
    def is_part(self) -> bool:
        """Whether it is drawn in one picture with others, and has no panel of its own."""
        return self.metric.startswith((CLASS_SHARE, PERPLEXITY_QUANTILE))

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
        if self.metric.startswith(PERPLEXITY_QUANTILE):
            rank = self.metric.removeprefix(PERPLEXITY_QUANTILE).lstrip("0")
            return (f"{rank} % quantile of the perplexity of generated text under generation 0", "", None)
        return _PLAIN.get(self.metric)


def base_names(keys: Iterable[str]) -> list[Name]:
    """The metrics among `keys`, intervals and floors aside, key metrics first, subsets side by side."""
    given = set(keys)
    names = [Name.of(k) for k in given if not any(k.endswith(s) and k.removesuffix(s) in given for s in SUFFIXES)]
    return sorted(names, key=_order)


def _order(name: Name) -> tuple[bool, int, str, str, str]:
    rank = KEY.index(name.metric) if name.metric in KEY else len(KEY)
    return (not name.is_key, rank, name.metric, name.features, name.subset)
