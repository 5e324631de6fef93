"""What a dashboard of some runs shows, said without any service: sections of panels, each with its metrics and axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from collapse_lab.report.summary import headline
from collapse_lab.results import mirrored
from collapse_lab.results.collect import Collection
from collapse_lab.results.names import Name
from collapse_lab.results.settings import joined, title_of

Kind = Literal["curves", "dose", "shares", "pictures", "table"]
GENERATION, WITHIN = "generation", "fit/generation"


@dataclass(frozen=True)
class Panel:
    """Hold one panel.

    Attributes:
        kind: `curves` over x, the mean of each group with a band over its seeds; `dose`, the last value of each run
            over the setting x; `shares`, stacked areas over x; `pictures` or a `table` of the names.
        title: the heading.
        names: what is shown, by its name in the mirror.
        x: the axis, empty for pictures and tables.
        lower_is_better: whether lower values are better; None where neither is.
    """

    kind: Kind
    title: str
    names: tuple[str, ...]
    x: str = ""
    lower_is_better: bool | None = None


@dataclass(frozen=True)
class Part:
    """Hold one section: its heading, a sentence for the report, and its panels."""

    title: str
    text: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Dashboard:
    """Hold a dashboard.

    Attributes:
        title: the heading.
        text: what the runs showed, a sentence each.
        groups: the settings whose values are groups of runs; the runs of a group differ in their seed alone.
        experiments: the names of the experiments; runs of other ones are left out.
        parts: the sections, which are not empty.
    """

    title: str
    text: tuple[str, ...]
    groups: tuple[str, ...]
    experiments: tuple[str, ...]
    parts: tuple[Part, ...]

    def plain(self) -> dict[str, Any]:
        """Return the dashboard as mappings and lists, without what is empty."""
        parts = [
            {"section": part.title, "text": part.text, "panels": [_plain(panel) for panel in part.panels]}
            for part in self.parts
        ]
        return {
            "dashboard": self.title,
            "text": list(self.text),
            "experiments": list(self.experiments),
            "groups": list(self.groups),
            "sections": parts,
        }


def dashboard(collection: Collection) -> Dashboard:
    """Return the dashboard of some runs: curves, dose and response, pictures, training rows, fits, texts.

    Args:
        collection: the runs, of which the ledgers name the metrics and the configurations the groups.
    """
    parts = [_curves(collection), _dose(collection), _pictures(collection), _rows(collection), _fits(collection)]
    kept = tuple(part for part in [*parts, _tables(collection)] if part.panels)
    groups = tuple(knob for knob in collection.knobs if knob != "seed")
    title = f"{joined(collection.experiments)} by {joined([title_of(k) for k in groups])}" if groups else ""
    return Dashboard(
        title or joined(collection.experiments),
        tuple(headline(collection)),
        groups,
        tuple(collection.experiments),
        kept,
    )


def _plain(panel: Panel) -> Mapping[str, Any]:
    direction = {} if panel.lower_is_better is None else {"better": "lower" if panel.lower_is_better else "higher"}
    axis = {"x": panel.x} if panel.x else {}
    return {"kind": panel.kind, "title": panel.title, **axis, "names": list(panel.names), **direction}


def _members(collection: Collection) -> list[str]:
    """Return what the names of each model's numbers begin with in the mirror; nothing where a run has one model."""
    prefixes = (mirrored.prefix(record.model, run.config) for run in collection.runs for record in run.records)
    return list(dict.fromkeys(prefixes))


def _shown(collection: Collection) -> list[Name]:
    """Return the key metrics, or, where a run has none, all that are not part of a picture."""
    names = [name for name in collection.names if not name.is_part]
    return [name for name in names if name.is_key] or names


def _panel(kind: Kind, name: Name, x: str, prefixes: list[str], model: str = "") -> Panel:
    better = None if not name.better else name.better == "lower"
    title = " · ".join(filter(None, (name.title, name.where, name.space, model)))
    return Panel(kind, title, tuple(f"{prefix}{name.key}" for prefix in prefixes), x, better)


def _curves(collection: Collection) -> Part:
    panels = [_panel("curves", name, GENERATION, _members(collection)) for name in _shown(collection)]
    return Part("Over the generations", "Lines are means over seeds, bands their standard error.", tuple(panels))


def _dose(collection: Collection) -> Part:
    dose = collection.dose
    names = [name for name in _shown(collection) if name.better] if dose is not None else []
    panels = [_panel("dose", name, str(dose), [p], p[:-1]) for name in names for p in _members(collection)]
    title = "Dose and response"
    return Part(title, "A point is the last generation of one chain, of one seed.", tuple(panels))


def _pictures(collection: Collection) -> Part:
    grids = {
        f"grids/{path.parent.name}/{path.stem.rpartition('-g')[0]}"
        for run in collection.runs
        for path in (run.folder / "grids").glob("*/*-g*.png")
    }
    panels = [Panel("pictures", name.removeprefix("grids/").replace("/", " · "), (name,)) for name in sorted(grids)]
    return Part("What was generated", "The same prompts in every generation; a column is a generation.", tuple(panels))


def _rows(collection: Collection) -> Part:
    kinds = dict.fromkeys(kind for run in collection.runs for record in run.records for kind in record.counts)
    sources = [kind for kind in kinds if kind.startswith("from_")]
    shown = ["real", *sources] if sources else ["real", "synthetic"]
    panels = [
        Panel(
            "shares", f"Training rows{f' of {p[:-1]}' if p else ''}", tuple(f"{p}counts/{k}" for k in shown), GENERATION
        )
        for p in _members(collection)
    ]
    return Part(
        "Where training rows come from", "Rows of the training set of each generation, by source.", tuple(panels)
    )


def _fits(collection: Collection) -> Part:
    # A family that is fitted by a formula counts it as one step, and has no curve
    steps = any(run.flat.get("trainer.steps", 0) > 1 or run.flat.get("trainer.epochs") for run in collection.runs)
    prefixes = _members(collection)
    titles = {"loss": "Loss", "learning_rate": "Learning rate"} if steps else {}
    panels = [
        Panel("curves", title, tuple(f"{prefix}fit/{name}" for prefix in prefixes), WITHIN)
        for name, title in titles.items()
    ]
    text = "2.5 is the middle of the fit of generation 2. A fit that the store had already has no curve."
    return Part("Within the fits", text, tuple(panels))


def _tables(collection: Collection) -> Part:
    sets = {path.name for run in collection.runs for path in (run.folder / "texts").glob("*/")}
    panels = [Panel("table", f"Texts · {name}", (f"texts/{name}",)) for name in sorted(sets)]
    return Part(
        "Texts and numbers", "Every number of every generation.", (*panels, Panel("table", "Ledger", ("ledger",)))
    )
