"""Take names of the ledger apart, and say in words what they mean."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from collapse_lab.metrics.catalogue import (
    CATALOGUE,
    CLASS_SHARE,
    GROUP_COVERAGE,
    GROUP_KID,
    GROUP_RECALL,
    PERPLEXITY_QUANTILE,
    SIMILARITY,
    Quantity,
    describe,
)

THEORY = "_theory"  # the suffix of the value that theory expects, which stands beside the measured one
SUFFIXES = ("_lo", "_hi", "_floor", THEORY)
# The quantities of the first figure, in the order in which the report shows them
KEY = ("fid", "precision", "recall", "coverage", "agreement", "perplexity", "relative_efficiency")

# What the papers plot of toys, where no quantity of the first figure is measured
PLOTTED = (
    "wasserstein_risk",
    "l2_distance",
    "test_error",
    "excess_loss",
    "top_share",
    "heterozygosity",
    "latent_spread",
)


def member_of(name: str) -> tuple[str, str]:
    """Return the member and the ledger's name of `b:novels/perplexity`; the member is "" where there is none."""
    member, _, key = name.rpartition(":")
    return member, key


@dataclass(frozen=True)
class Name:
    """Hold the parts of a ledger name, `<subset>/<features>/<metric>` or `<subset>/<probe>`.

    Attributes:
        key: the name as the ledger has it.
        subset: the prompt set, `all` where the name has none.
        features: the feature space, empty for a quantity of a probe.
        metric: the name of the quantity, as `metrics.catalogue` has it.
        member: the member of a population whose number it is, empty for the mean over all members. It stands before the
            name, as in `b:novels/perplexity`, where a claim asks for one member.
        reference: what it compares with, such as "generation 0"; empty for real rows. It stands in the fingerprints
            of a run, and not in the name.
        summary: what the class of an own metric says of itself in one line; empty for a quantity of the catalogue.
    """

    key: str
    subset: str
    features: str
    metric: str
    member: str = ""
    reference: str = field(default="", compare=False)
    summary: str = field(default="", compare=False)

    @classmethod
    def of(cls, name: str) -> Name:
        """Split a name of the ledger; a name without a subset belongs to the subset `all`."""
        member, key = member_of(name)
        subset, *features, metric = key.split("/") if "/" in key else ("all", key)
        return cls(key, subset, "/".join(features), metric, member)

    @property
    def quantity(self) -> Quantity | None:
        """Return the entry of the catalogue, or None where it has none."""
        return describe(self.metric)

    @property
    def is_class_share(self) -> bool:
        """Return whether it is one bar of the class histogram; the class is `metric.removeprefix(CLASS_SHARE)`."""
        return self.metric.startswith(CLASS_SHARE)

    @property
    def is_group_recall(self) -> bool:
        """Return whether it is the recall of one group; the group is `metric.removeprefix(GROUP_RECALL)`."""
        return self.metric.startswith(GROUP_RECALL) and self.metric not in CATALOGUE

    @property
    def is_group_coverage(self) -> bool:
        """Return whether it is the coverage of one group; the group is `metric.removeprefix(GROUP_COVERAGE)`."""
        return self.metric.startswith(GROUP_COVERAGE)

    @property
    def is_part(self) -> bool:
        """Return whether it is drawn in one picture with others, and so has no panel of its own."""
        parts = (CLASS_SHARE, GROUP_RECALL, GROUP_COVERAGE, GROUP_KID, PERPLEXITY_QUANTILE, SIMILARITY)
        return self.metric.startswith(parts) and self.metric not in CATALOGUE

    @property
    def title(self) -> str:
        """Return its title, such as "Fréchet distance (FID)"; without an entry, its ledger name in plain letters."""
        return self.quantity.title if self.quantity else self.metric.replace("_", " ").capitalize()

    @property
    def short(self) -> str:
        """Return what tables and sentences call it, such as "FID" or "recall"."""
        return self.quantity.short if self.quantity else self.metric.replace("_", " ")

    @property
    def spoken(self) -> str:
        """Return what it is called within a sentence: a short name in capitals, such as "FID", or its title."""
        return self.short if self.short.isupper() else self.title.lower()

    @property
    def better(self) -> Literal["higher", "lower", ""]:
        """Return "lower" or "higher", or an empty text where neither is better or the quantity has no entry."""
        return self.quantity.better if self.quantity and self.quantity.better != "none" else ""

    @property
    def top(self) -> float | None:
        """Return the value up to which plots show the axis, or None where the values alone decide."""
        return self.quantity.range[1] if self.quantity and self.quantity.whole_axis else None

    @property
    def where(self) -> str:
        """Return the prompt set in words, such as "seen prompts"; empty for the subset `all`."""
        prompts = "" if self.subset == "all" else f"{self.subset} prompts"
        return " ".join(filter(None, (prompts, self.reference and f"against {self.reference}")))

    @property
    def floor_of(self) -> tuple[str, str]:
        """Return what its floor is and lies between: for plots, and in words for sentences."""
        if self.reference:
            return f"floor: {self.reference}, drawn twice", f"floor, two draws of {self.reference}"
        return "floor: real against real", "floor, real against real"

    @property
    def space(self) -> str:
        """Return the feature space in words, such as "classifier features"; empty for a probe, which has none."""
        return f"{self.features.removesuffix('s')} features" if self.features else ""

    @property
    def is_key(self) -> bool:
        """Return whether it belongs to the first figure; pixels check the embedding and so never do."""
        return self.metric in KEY and self.features != "pixels"


def base_names(keys: Iterable[str]) -> list[Name]:
    """Return the quantities among `keys` without intervals, floors and theory, key quantities first.

    What the papers plot of toys comes next.
    Equal quantities of several subsets stand side by side.
    """
    present = set(keys)
    names = [Name.of(k) for k in present if not any(k.endswith(s) and k.removesuffix(s) in present for s in SUFFIXES)]
    return sorted(names, key=_order)


def _order(name: Name) -> tuple[bool, int, str, str, str]:
    first = (*KEY, *PLOTTED)
    rank = first.index(name.metric) if name.metric in first else len(first)
    return (not name.is_key, rank, name.metric, name.features, name.subset)
