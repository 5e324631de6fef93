"""Describe every quantity of the ledger in one table: its name, its title, its direction and its range.

Reports, results, sinks and the torchmetrics wrappers read this table. It imports neither torch nor numpy, because
reports and results must start quickly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Direction = Literal["higher", "lower", "none"]
Range = tuple[float | None, float | None]

# The ledger has one quantity per class, such as `class_share_3`.
CLASS_SHARE = "class_share_"
# The ledger has one quantity per group of prompts, such as `group_recall_3`.
GROUP_RECALL = "group_recall_"
GROUP_COVERAGE = "group_coverage_"
GROUP_KID = "group_kid_"
LEAST_RECALL = 0.1  # the recall from which on a group counts as surviving, unless a run says otherwise
# The ledger has one quantity per quantile in percent, such as `generated_perplexity_q05`.
PERPLEXITY_QUANTILE = "generated_perplexity_q"
# The ledger has one quantity per other member of a population, such as `similarity_b`.
SIMILARITY = "similarity_"
# Quantities that say how well a model knows a domain; where one is asked for, the first that was measured counts
KNOWING = ("perplexity", "squared_error", "test_error", "coverage", "recall", "accuracy", "fid")
LOGARITHMIC = ("perplexity", "squared_error", "test_error")  # a gain of these is how many times smaller they become

UNIT: Range = (0.0, 1.0)
NOT_NEGATIVE: Range = (0.0, None)
UNBOUNDED: Range = (None, None)


@dataclass(frozen=True)
class Quantity:
    """Describe one quantity of the ledger.

    Attributes:
        name: the last part of its name in the ledger, such as `fid` of `seen/classifier/fid`.
        title: what headings and captions call it, such as "Fréchet distance (FID)".
        better: whether higher or lower values are better; "none" where neither is, or where it is not known.
        range: the least and the greatest value; None where there is no bound, or where the bound depends on the data.
        abbreviation: a short name for tables and sentences, such as "FID"; where it is empty, `short` returns the name
            with spaces.
        whole_axis: whether plots show an axis up to the greatest value of the range even where all values are small.
        compares: whether it compares generated samples with reference rows. Variety, or what images show of their
            captions, does not; nor does a comparison with training rows.
    """

    name: str
    title: str
    better: Direction = "none"
    range: Range = UNBOUNDED
    abbreviation: str = ""
    whole_axis: bool = False
    compares: bool = True

    @property
    def short(self) -> str:
        """Return what tables and sentences call it, such as "FID" or "class entropy"."""
        return self.abbreviation or self.name.replace("_", " ")


def _share(name: str, title: str, better: Direction = "higher", compares: bool = True) -> Quantity:
    return Quantity(name, title, better, UNIT, whole_axis=True, compares=compares)


METRIC_QUANTITIES: tuple[Quantity, ...] = (
    Quantity("fid", "Fréchet distance (FID)", "lower", NOT_NEGATIVE, "FID"),
    Quantity("fd_infinity", "Fréchet distance at infinite n", "lower", UNBOUNDED, "FD∞"),
    Quantity("kid", "Kernel distance (KID)", "lower", UNBOUNDED, "KID"),
    Quantity("cmmd", "CLIP kernel distance (CMMD)", "lower", (-2000.0, 2000.0), "CMMD"),
    _share("precision", "Precision"),
    _share("recall", "Recall"),
    Quantity("density", "Density", "higher", NOT_NEGATIVE),
    _share("coverage", "Coverage"),
    Quantity("vendi", "Vendi score (effective number of samples)", "higher", (1.0, None), compares=False),
    Quantity("pairwise_distance", "Mean distance between samples", "higher", NOT_NEGATIVE, compares=False),
    _share("mode_coverage", "Share of classes generated", compares=False),
    Quantity("class_entropy", "Entropy of the class histogram", "higher", NOT_NEGATIVE, compares=False),
    _share("authenticity", "Authenticity", compares=False),
    _share("near_copies", "Share of near copies", "lower", compares=False),
    _share("agreement", "Prompt agreement", compares=False),
    _share("groups_surviving", "Share of groups that survive"),
    _share("group_recall_lowest", "Recall of the worst group"),
    Quantity("group_recall_sd", "Standard deviation of recall over groups", "none", (0.0, 0.5)),
    Quantity("group_kid_sd", "Standard deviation of KID over groups", "none", NOT_NEGATIVE),
    Quantity("similarity", "Similarity of two models", "none", (-1.0, 1.0), compares=False),
    Quantity("clip_score", "CLIP score", "higher", (0.0, 100.0), compares=False),
)
PROBE_QUANTITIES: tuple[Quantity, ...] = (
    _share("accuracy", "Accuracy"),
    Quantity("perplexity", "Perplexity", "lower", (1.0, None)),
    Quantity("perplexity_zero_shot", "Perplexity before the first fit", "lower", (1.0, None)),
    Quantity("generated_perplexity", "Perplexity of generated text under generation 0", "none", (1.0, None)),
    Quantity("improbable_share", "Share of improbable text", "lower", UNIT),
    _share("probable_share", "Share of highly probable text", "none"),
    Quantity("log_likelihood", "Log-likelihood", "higher", UNBOUNDED),
    Quantity("variance", "Variance", "none", NOT_NEGATIVE),
    Quantity("variance_median", "Median variance", "none", NOT_NEGATIVE),
    Quantity("wasserstein_risk", "Squared Wasserstein distance", "lower", NOT_NEGATIVE),
    Quantity("l2_distance", "L2 distance of densities", "lower", NOT_NEGATIVE),
    Quantity("test_error", "Test error", "lower", NOT_NEGATIVE),
    Quantity("relative_efficiency", "Relative efficiency", "higher", NOT_NEGATIVE),
    Quantity("squared_error", "Squared error of the coefficients", "lower", NOT_NEGATIVE),
    Quantity("excess_loss", "Excess loss", "lower", NOT_NEGATIVE),
    Quantity("support", "Categories left", "higher", NOT_NEGATIVE),
    Quantity("latent_spread", "Spread of latent means", "none", NOT_NEGATIVE),
    Quantity("denoising_loss", "Denoising loss", "lower", NOT_NEGATIVE),
    *(Quantity(f"distinct_{n}", f"Share of distinct {n}-grams", "higher", UNIT) for n in (1, 2, 3, 4)),
    Quantity("vocabulary", "Distinct tokens", "higher", NOT_NEGATIVE),
    Quantity("unigram_entropy", "Entropy of tokens (bits)", "higher", NOT_NEGATIVE),
    _share("rare_token_recall", "Recall of rare tokens"),
    Quantity("repetition", "Repeated 4-grams within a sample", "lower", UNIT),
    _share("self_bleu", "Self-BLEU", "lower"),
)
CATALOGUE: Mapping[str, Quantity] = {quantity.name: quantity for quantity in (*METRIC_QUANTITIES, *PROBE_QUANTITIES)}


# The metrics that give several quantities, or one of another name; any other metric gives one quantity of its own name
_GIVEN_BY: Mapping[str, str] = {
    **dict.fromkeys(("precision", "recall", "density", "coverage"), "prdc"),
    **dict.fromkeys(("authenticity", "near_copies"), "memorisation"),
    **dict.fromkeys(("mode_coverage", "class_entropy"), "classes"),
    **dict.fromkeys(("groups_surviving", "group_recall_lowest", "group_recall_sd", "group_kid_sd"), "by_group"),
}
_PARTS_GIVEN_BY = {
    CLASS_SHARE: "classes",
    **dict.fromkeys((GROUP_RECALL, GROUP_COVERAGE, GROUP_KID), "by_group"),
    SIMILARITY: "similarity",
}


def metric_of(name: str) -> str | None:
    """Return the metric that gives a quantity, such as `prdc` for `recall`; None for a quantity of no metric.

    Args:
        name: the last part of a name in the ledger, such as `fid` or `class_share_3`.
    """
    if name in (quantity.name for quantity in METRIC_QUANTITIES):
        return _GIVEN_BY.get(name, name)
    return next((metric for part, metric in _PARTS_GIVEN_BY.items() if name.startswith(part)), None)


def describe(name: str) -> Quantity | None:
    """Return the description of a quantity, or None for a name that the table does not have.

    Args:
        name: the last part of a name in the ledger, such as `fid`, `class_share_3` or `generated_perplexity_q05`.
    """
    if name.startswith(CLASS_SHARE):
        return _share(name, f"Share of class {name.removeprefix(CLASS_SHARE)}", "none", compares=False)
    if name.startswith(GROUP_RECALL) and name not in CATALOGUE:
        return _share(name, f"Recall of group {name.removeprefix(GROUP_RECALL)}")
    if name.startswith(GROUP_COVERAGE):
        return _share(name, f"Coverage of group {name.removeprefix(GROUP_COVERAGE)}")
    if name.startswith(GROUP_KID) and name not in CATALOGUE:
        return Quantity(name, f"Kernel distance (KID) of group {name.removeprefix(GROUP_KID)}", "lower")
    if name.startswith(SIMILARITY):
        return Quantity(name, f"Similarity to '{name.removeprefix(SIMILARITY)}'", "none", (-1.0, 1.0), compares=False)
    if name.startswith(PERPLEXITY_QUANTILE):
        percent = name.removeprefix(PERPLEXITY_QUANTILE).lstrip("0")
        title = f"{percent} % quantile of the perplexity of generated text under generation 0"
        return Quantity(name, title, "none", (1.0, None))
    return CATALOGUE.get(name)
