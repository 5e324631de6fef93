"""Write the card of an exported generation: where it comes from, what was measured of it, and how it is opened."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from collapse_lab.results.names import Name, base_names
from collapse_lab.results.settings import flattened, labelled, shown
from collapse_lab.sharing.chosen import Chosen, Kind
from collapse_lab.types import Exported, Record

TAGS = ("collapse-lab", "model-collapse", "synthetic-data")
MOST_ROWS = 24  # generations in the table of the lineage; of longer chains the first and the last ones
INTRODUCTION = {
    "model": "This is generation {g} of a chain of models, each of which is trained on a mixture of real data and of "
    "what the generation before it sampled. It was made by collapse_lab to study model collapse: it is an object of "
    "measurement, and may be worse than a model of real data alone. Its weights are those that the generation sampled "
    "with.",
    "samples": "These are the samples of generation {g} of a chain of models, each of which is trained on a mixture of "
    "real data and of what the generation before it sampled. They were made by collapse_lab to study model collapse; "
    "no row is real data. They are as the model made them, before any curation.",
}


def write_card(chosen: Chosen, made: Exported, kind: Kind, folder: Path, name: str) -> None:
    """Write README.md, whose front matter the hub reads.

    Args:
        chosen: the generation.
        made: how the folder is opened.
        kind: what the folder holds.
        folder: where the card is written.
        name: what the lines that open the folder call it: its path, or its name on the hub.
    """
    from huggingface_hub import DatasetCard, DatasetCardData, ModelCard, ModelCardData

    facts = facts_of(chosen)
    tags = [*TAGS, facts["experiment"]]
    card, data = (
        (ModelCard, ModelCardData(library_name=made.library, pipeline_tag=made.task, tags=tags, collapse_lab=facts))
        if kind == "model"
        else (DatasetCard, DatasetCardData(task_categories=[made.task], tags=tags, collapse_lab=facts))
    )
    text = f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(_sections(chosen, made, kind, facts, name)) + "\n"
    (folder / "README.md").write_text(card(text).content)


def facts_of(chosen: Chosen) -> dict[str, Any]:
    """Return what the front matter says of a generation: its run, its training set, its lineage and its quality."""
    config, record = chosen.run.config, chosen.record
    counts = dict(record.counts if record else chosen.step.counts)
    rows = counts["real"] + counts["synthetic"]
    facts = {
        "experiment": chosen.run.name,
        "signature": chosen.run.signature,
        "seed": config["seed"],
        "generation": chosen.step.generation,
        "generations": config["generations"],
        "member": chosen.step.model,
        **({"ratio": config["ratio"]} if "ratio" in config else {}),  # absent where the mixing policy has no share
        "synthetic_share": round(counts["synthetic"] / rows, 6) if rows else 0.0,
        "rows": counts,
        "mixing": shown(config["mixing"]["_target_"]),
        "lineage": _lineage_of(chosen),
        "family": shown(config["model"]["_target_"]),
        "dataset": shown(config["dataset"]["_target_"]),
        "fit": chosen.step.fit.key,
        "commit": chosen.environment.get("commit"),
    }
    measured = {name.key: value for name, value, _ in _measured(record)} if record else {}
    floors = {
        f"{key}_floor": record.metrics[f"{key}_floor"]
        for key in measured
        if record and f"{key}_floor" in record.metrics
    }
    return facts | {"metrics": measured | floors}


def _sections(chosen: Chosen, made: Exported, kind: Kind, facts: Mapping[str, Any], name: str) -> Iterator[str]:
    g, run = chosen.step.generation, chosen.run
    yield f"# {run.name}: generation {g}" + (f" of {chosen.step.model}" if len(chosen.lab.models) > 1 else "")
    yield INTRODUCTION[kind].format(g=g)
    yield "## Open it"
    yield f"```python\n{made.usage.replace('FOLDER', name)}\n```"
    yield from made.notes
    yield "## Where it comes from"
    yield _table(("what", "value"), list(_origin(chosen, facts)))
    yield "## Lineage"
    yield _lineage(chosen)
    yield "## Quality"
    yield _quality(chosen.record)
    if command := _command(chosen.environment.get("command", ())):
        yield "## Command"
        yield f"The run was computed by\n\n```sh\n{command}\n```"


def _origin(chosen: Chosen, facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    config, rows = chosen.run.config, facts["rows"]
    data = {key: value for key, value in config["dataset"].items() if key != "_target_"}
    plain = {key: str(value) for key, value in data.items() if isinstance(value, str | int | float)}
    settings = ", ".join(f"{key}={value}" for key, value in plain.items() if not value.startswith(("/", "~", "<")))
    yield "run", f"`{facts['experiment']}/{facts['signature']}`"
    yield "generation", f"{facts['generation']} of 0 to {facts['generations']}"
    if changes := config["population"]["members"].get(facts["member"]):
        yield "member", f"{facts['member']}: {labelled(flattened(changes))}"
    if "ratio" in facts:
        yield "ratio", f"{facts['ratio']:g} (the synthetic share that was asked for)"
    yield "mixing", facts["mixing"]
    yield "trained on", f"{rows['real']:,} real and {rows['synthetic']:,} synthetic rows"
    yield "data set", f"{facts['dataset']}" + (f" ({settings})" if settings else "")
    yield "family", facts["family"]
    if pretrained := _pretrained(chosen):
        yield "pretrained weights", f"`{Path(pretrained).name if Path(pretrained).is_absolute() else pretrained}`"
    yield "lineage", f"{facts['lineage']}: each fit from generation 1 on starts from {_start(chosen)}"
    yield "seed", str(facts["seed"])
    if facts["commit"]:
        yield "code", f"collapse_lab at commit `{facts['commit']}`"


def _start(chosen: Chosen, generation: int | None = None) -> str:
    """Return which weights the fit of a generation starts from; None means any generation after 0."""
    lineage = _lineage_of(chosen)
    if generation != 0 and lineage == "first":
        return "generation 0"
    if generation != 0 and lineage == "previous":
        return "the generation before it" if generation is None else f"generation {generation - 1}"
    # Because a family that is given pretrained weights starts from them wherever it starts from none of the chain
    return "the pretrained weights" if _pretrained(chosen) else "fresh weights"


def _pretrained(chosen: Chosen) -> Any:
    """Return what the member's pretrained weights are called; None where it has none."""
    config = chosen.run.config
    changes = config["population"]["members"].get(chosen.step.model) or {}
    return changes.get("pretrained", config["model"].get("pretrained"))


def _lineage_of(chosen: Chosen) -> str:
    """Return where the weights of the member's later generations start."""
    return chosen.lab.population.lineages[chosen.step.model]


def _lineage(chosen: Chosen) -> str:
    """Return the chain of generations up to this one as a table."""
    records = list(chosen.records)
    cut = len(records) > MOST_ROWS
    kept = [records[0], *records[1 - MOST_ROWS :]] if cut else records
    keys = [name for name in base_names(records[0].metrics) if name.metric == "fid"] if records else []
    rows = [
        (
            str(record.generation),
            _start(chosen, record.generation),
            f"{record.counts['real']:,}",
            f"{record.counts['synthetic']:,}",
            *(_number(record.metrics.get(name.key)) for name in keys),
            f"`{record.keys['fit'][:12]}`",
        )
        for record in kept
    ]
    header = ("generation", "starts from", "real rows", "synthetic rows", *map(_titled, keys), "fit")
    left_out = f"\n\n{len(records) - len(kept)} generations between the first and the others are left out."
    return _table(header, rows) + (left_out if cut else "") if rows else "The ledger holds no generation yet."


def _quality(record: Record | None) -> str:
    if record is None:
        return "The generation is fitted and not measured yet."
    rows = [
        (
            _titled(name),
            _number(value),
            f"{_number(record.metrics.get(f'{name.key}_lo'))} to {_number(record.metrics.get(f'{name.key}_hi'))}"
            if f"{name.key}_lo" in record.metrics
            else "–",
            _number(floor),
        )
        for name, value, floor in _measured(record)
    ]
    if not rows:
        return "The run measured neither FID nor another of the quantities that are shown here."
    note = "The floor is what as many rows of real data give against real data."
    return _table(("quantity", "value", "95 % interval", "floor"), rows) + f"\n\n{note}"


def _measured(record: Record) -> list[tuple[Name, float, float | None]]:
    """Return the key quantities of a line of the ledger with their values and floors, and FID in any feature space."""
    names = [name for name in base_names(record.metrics) if name.is_key or name.metric == "fid"]
    return [(name, record.metrics[name.key], record.metrics.get(f"{name.key}_floor")) for name in names]


def _titled(name: Name) -> str:
    return ", ".join(filter(None, (name.short, name.space, name.where)))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells)


def _command(words: Sequence[str]) -> str:
    """Return the command of a run without the folders of the machine; empty where a program of the user started it."""
    if not words or Path(words[0]).name not in ("collapse-lab", "collapse_lab", "__main__.py"):
        return ""
    kept = [word for word in words[1:] if not word.startswith("paths.")]
    return shlex.join(["collapse-lab", *kept])
