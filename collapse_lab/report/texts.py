"""Generated texts: histograms of the perplexity of single texts, and examples side by side over the generations."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from collapse_lab.report.perplexities import ticks
from collapse_lab.report.plot import Caption, Legend, plot, stem
from collapse_lab.report.section import Section
from collapse_lab.report.style import MUTED, palette
from collapse_lab.report.summary import number
from collapse_lab.results.collect import Collection, SeedGroup
from collapse_lab.results.run import Run
from collapse_lab.results.series import evenly
from collapse_lab.storage.formats import PER_OCTAVE

MOST_GROUPS = 6  # configurations with a histogram
MOST_GENERATIONS = 6  # lines of a histogram, and columns of examples
MOST_ROWS, MOST_PROMPTS, MOST_CHARACTERS = 4, 2, 700  # configurations, prompts of each and characters of a text
GENERATED, REAL = "generated_perplexity", "real_perplexity"  # the names of the histograms in a file
WIDER = 2  # bins of a file that are one step of the figure
_FILE = re.compile(r"(?P<model>.+)-g(?P<generation>\d+)\.json")

Counts = Mapping[int, int]  # bin -> number of texts


@dataclass(frozen=True)
class Excerpts:
    """Hold the file of one generation.

    Attributes:
        prompts: The first prompts, which are the same in every generation.
        texts: The texts that continue them.
        generated: The histogram of the generated texts' perplexity under generation 0; empty where it is not known.
        real: The histogram of real texts.
    """

    prompts: Sequence[str] = ()
    texts: Sequence[str] = ()
    generated: Counts = field(default_factory=dict)
    real: Counts = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """Hold the continuations of one prompt by one configuration.

    Attributes:
        label: The label of the configuration; "" where it stands above already.
        prompt: The prompt.
        texts: (generation, text) of each generation that is shown.
    """

    label: str
    prompt: str
    texts: Sequence[tuple[int, str]]


def histograms(collection: Collection) -> Section | None:
    """Return histograms of the perplexity under generation 0 for some of the configurations.

    Args:
        collection: The runs of the page.

    Returns:
        The section; None where no run has kept the perplexities of its texts.
    """
    groups = [collection.seed_groups[i] for i in evenly(len(collection.seed_groups), MOST_GROUPS)]
    drawn = [(group, subset, pooled(group, subset)) for group in groups for subset in _subsets(collection)]
    drawn = [(group, subset, lines) for group, subset, lines in drawn if lines]
    if not drawn:
        return None
    generations = sorted({generation for *_, lines in drawn for generation in lines if generation is not None})
    shown = [generations[i] for i in evenly(len(generations), MOST_GENERATIONS)]
    inks = palette(len(shown), ordered=True)
    bins = [number for *_, lines in drawn for counts in lines.values() for number in counts]
    limits = (2 ** (min(bins) / PER_OCTAVE) / 1.1, 2 ** ((max(bins) + 1) / PER_OCTAVE) * 1.1)
    legend = Legend("generation", [str(generation) for generation in shown], inks)
    plots = [
        plot(
            lambda ax, lines=lines: draw(ax, lines, dict(zip(shown, inks, strict=True)), limits),  # type: ignore[misc]
            Caption("Share of texts", subset if subset != "all" else "", group.label),
            stem("histogram", subset, group.label),
            row=group.label,
            legend=legend,
        )
        for group, subset, lines in drawn
    ]
    note = (
        "Perplexity of single texts under the model of generation 0: to the right are texts that generation 0 would "
        "hardly write. The dashed line is real text of the test set. Both axes are logarithmic, so that tails show."
    )
    if any(len(group.runs) > 1 for group in collection.seed_groups):
        note += " Texts of all seeds are counted together."
    return Section.of_plots("Texts by their perplexity", plots, note, legend, columns=len(_subsets(collection)))


def examples(collection: Collection) -> Section | None:
    """Return what the first prompts are continued with, generation by generation, by the first seed.

    Args:
        collection: The runs of the page.

    Returns:
        The section; None where no run has kept examples.
    """
    shown = [collection.seed_groups[i] for i in evenly(len(collection.seed_groups), MOST_ROWS)]
    subsets = [
        (subset, rows)
        for subset in _subsets(collection)
        if (rows := [row for group in shown for row in continued(group.runs[0], subset, group.label)])
    ]
    if not subsets:
        return None
    note = (
        "The same prompts in every generation, each with its continuation; ⏎ is a line break, and long texts are cut."
    )
    if len(collection.seed_groups) > 1:
        note += f" Each configuration shows its first seed (at most {MOST_ROWS} configurations)."
    return Section("Examples of texts", "texts.html.j2", {"subsets": subsets}, note)


def pooled(group: SeedGroup, subset: str) -> dict[int | None, Counts]:
    """Return generation -> the counts of all seeds together; the key None has those of real text.

    Args:
        group: The runs of one configuration.
        subset: The prompt set.
    """
    lines: dict[int | None, Counter[int]] = {}
    for run in group.runs:
        files = excerpts(run, subset)
        for generation, file in files.items():
            if file.generated:
                lines.setdefault(generation, Counter()).update(file.generated)
        real = next((file.real for file in files.values() if file.real), None)
        if real is not None:
            lines.setdefault(None, Counter()).update(real)
    return dict(lines)


def continued(run: Run, subset: str, label: str) -> list[Row]:
    """Return the rows of the first prompts of a run.

    Args:
        run: The run.
        subset: The prompt set.
        label: The label of the configuration, which the first row has.
    """
    files = excerpts(run, subset)
    generations = [sorted(files)[i] for i in evenly(len(files), MOST_GENERATIONS)]
    rows = []
    for place in range(MOST_PROMPTS):
        texts = [(g, cut(files[g].texts[place])) for g in generations if place < len(files[g].texts)]
        if texts:
            prompt = next(files[g].prompts[place] for g in generations if place < len(files[g].prompts))
            rows.append(Row(label if place == 0 else "", cut(prompt), texts))
    return rows


def excerpts(run: Run, subset: str) -> dict[int, Excerpts]:
    """Return generation -> the file of the first model by name; files that cannot be read are left out.

    Args:
        run: The run.
        subset: The prompt set.
    """
    folder = run.folder / "texts" / subset
    files = [(match, path) for path in folder.glob("*.json") if (match := _FILE.fullmatch(path.name))]
    model = min((match["model"] for match, _ in files), default="")
    read = {int(match["generation"]): _read(path) for match, path in files if match["model"] == model}
    return {generation: file for generation, file in sorted(read.items()) if file is not None}


def cut(text: str) -> str:
    """Return a text of bounded length on one line: ⏎ stands for a line break, and … where something is missing."""
    line = text.replace("\n", " ⏎ ")  # because a collapsed model may write nothing but line breaks
    return line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 1]}…"


def draw(
    ax: Axes, lines: Mapping[int | None, Counts], inks: Mapping[int, tuple[str, str]], limits: tuple[float, float]
) -> None:
    """Draw a step line for each generation, on logarithmic axes, and a dashed one for real text.

    Args:
        ax: The axes to draw on.
        lines: Generation -> counts; None has real text.
        inks: Generation -> (on light, on dark), of the generations to draw.
        limits: The lower and upper limit of the axis across, above 0.
    """
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(*limits)
    lowest = 1.0
    for generation, counts in sorted(lines.items(), key=lambda line: -1 if line[0] is None else line[0]):
        if generation is not None and generation not in inks:
            continue
        edges, shares = steps(counts)
        lowest = min(lowest, float(shares[shares > 0].min()))
        dashed = generation is None
        ax.stairs(
            np.where(shares > 0, shares, np.nan),
            edges,
            baseline=None,
            color=MUTED if generation is None else inks[generation][0],
            linestyle=(0, (3, 2)) if dashed else "-",
            linewidth=1.2 if dashed else 1.5,
            zorder=2 if dashed else 3,
        )
    ax.set_ylim(lowest / 1.6, 1.0)
    ax.xaxis.set_major_locator(FixedLocator(ticks(*limits)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    ax.yaxis.set_major_locator(FixedLocator([10.0**-d for d in range(9)]))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}\u2009%"))
    ax.set_xlabel("perplexity under generation 0")


def steps(counts: Counts) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges (k + 1,) of the steps of a line and the share (k,) of the texts of each, which sum to 1.

    Args:
        counts: Bin -> number of texts, at least one.
    """
    first, last = min(counts) // WIDER, max(counts) // WIDER
    shares = np.zeros(last - first + 1)
    for number_of_bin, count in counts.items():
        shares[number_of_bin // WIDER - first] += count
    edges = 2.0 ** (np.arange(first, last + 2) * WIDER / PER_OCTAVE)
    return edges, shares / shares.sum()


def _subsets(collection: Collection) -> list[str]:
    return sorted({p.name for run in collection.runs for p in (run.folder / "texts").glob("*") if p.is_dir()})


def _read(path: Path) -> Excerpts | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        listed = content["examples"]
        kept = [_counts(content["histograms"].get(name, {})) for name in (GENERATED, REAL)]
        return Excerpts([str(one["prompt"]) for one in listed], [str(one["text"]) for one in listed], *kept)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _counts(counts: Mapping[str, int]) -> Counts:
    return {int(number_of_bin): int(count) for number_of_bin, count in counts.items() if int(count) > 0}
