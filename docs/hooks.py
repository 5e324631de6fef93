"""Write the pages of the documentation that follow from other files: the configuration, the API, contributing.

MkDocs calls `on_config` and `on_files` while it builds the site.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))  # because MkDocs loads a hook by its path

from docstrings import arguments_of
from yaml_comments import Entry, Page, escaped, read_page

from collapse_lab.cli import main

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
# Group of conf/ or room of the package: what its page begins with
GROUPS = {
    "experiment": "An experiment is a preset: `+experiment=NAME` sets what the other groups leave open.",
    "scale": "`+scale=NAME` changes the size of an experiment; `+scale=paper` takes the file of its name.",
    "dataset": "`dataset=NAME` chooses the real rows.",
    "prompts": "`prompts=NAME` chooses the prompt sets: what is asked of a model, and which set it is retrained on.",
    "model": "`model=NAME` chooses the family of generative models.",
    "trainer": "How long and how each model is fitted.",
    "mixing": "`mixing=NAME` chooses which rows of the pool the next generation is trained on.",
    "population": "`population=NAME` says how many models there are, what each starts from, and who learns from whom.",
    "curation": "`curation=NAME` chooses what becomes of samples before they enter the pool.",
    "features": "`features=[NAME,…]` chooses the feature spaces in which samples are measured.",
    "metrics": "`metrics=[NAME,…]` chooses what is measured in each feature space.",
    "probes": "`probes=[NAME,…]` chooses what else is measured, of the models and of their samples.",
    "sinks": "`sinks=[NAME,…]` chooses where a run is shown beside its ledger.",
    "store": "`store=NAME` chooses what is kept on disk.",
    "paths": "Where runs, stored stages and data lie.",
    "hydra/launcher": "`-m … hydra/launcher=NAME` chooses where the cells of a sweep run.",
}
CONFIGURATION = """# Configuration

These pages follow from the comments in `conf/`. A key is written on the command line by its dotted name, such as
`model.guidance_scale=4`. A key that is not there is refused in a second, with the nearest right name.
`collapse-lab --help` lists every group, and `--cfg job --resolve` behind a command prints what it composes.
"""
ROOMS = {
    "metrics": "What compares generated with real features.",
    "probes": "What looks into models and their samples.",
    "models": "The families of generative models.",
    "mixing": "The policies that choose rows of the pool.",
    "curation": "What becomes of samples before they enter the pool.",
    "datasets": "The real rows.",
    "prompts": "The prompt sets.",
    "features": "The feature spaces.",
    "theory": "Closed forms and bounds of the papers.",
    "types": "The nouns, and the protocols that everything pluggable satisfies.",
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the generated pages to the navigation."""
    pages = ["configuration/index.md", *(f"configuration/{_stem(group)}.md" for group in GROUPS)]
    rooms = ["api/index.md", *(f"api/{room}.md" for room in ROOMS)]
    nav: list[Any] = list(config.nav or [])
    config.nav = [*nav, {"Configuration": pages}, {"Python": rooms}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the files of the site."""
    for path, text in generated():
        files.append(File.generated(config, path, content=text))
    return files


def generated() -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each page that follows from other files."""
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        yield f"notebooks/{path.stem}.md", notebook_page(path)
    yield "contributing.md", (ROOT / "CONTRIBUTING.md").read_text()
    yield "guide/options.md", options_page()
    yield "configuration/index.md", configuration_index()
    for group, text in GROUPS.items():
        yield f"configuration/{_stem(group)}.md", group_page(group, text)
    for room, text in ROOMS.items():
        yield f"api/{room}.md", room_page(room, text)


def notebook_page(path: Path) -> str:
    """Return a notebook as a page, without what its cells print."""
    cells = json.loads(path.read_text())["cells"]
    texts = ["".join(cell["source"]) for cell in cells]
    parts = [
        text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"
        for cell, text in zip(cells, texts, strict=True)
    ]
    parts.insert(1, f"[Download this notebook]({path.name}) to run it yourself.")
    return "\n\n".join(parts) + "\n"


def options_page() -> str:
    """Return the page with what `--help` of each command prints."""
    os.environ["COLUMNS"] = "100"
    parts = ["# Options of the commands", "What `collapse-lab NAME --help` prints."]
    for name, place in main.COMMANDS.items():
        module = importlib.import_module(place)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            module.main(["--help"])
        parts += [f"## {name}", f"```text\n{printed.getvalue().strip()}\n```"]
    return "\n\n".join(parts) + "\n"


def configuration_index() -> str:
    """Return the page of what stands above all groups: the root keys."""
    page = read_page(CONF / "config.yaml")
    entries = [entry for entry in page.entries if not entry.name.startswith(("hydra", "defaults"))]
    links = "\n".join(f"- [`{group}`]({_stem(group)}.md): {text}" for group, text in GROUPS.items())
    return f"{CONFIGURATION}\n## Keys of every experiment\n\n{_table(entries)}\n\n## Groups\n\n{links}\n"


def group_page(group: str, text: str) -> str:
    """Return the page of one group of conf/: every option, with its keys."""
    parts = [f"# {group}", text]
    for path in sorted((CONF / group).rglob("*.yaml")):
        name = str(path.relative_to(CONF / group).with_suffix(""))
        parts += [f"## {group}: {name}", _option(read_page(path))]
    return "\n\n".join(parts) + "\n"


def room_page(room: str, text: str) -> str:
    """Return the page of one room of the package: its public names, module by module."""
    folder = ROOT / "collapse_lab" / room
    modules = sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))
    options = "    options: {show_root_heading: true, show_root_full_path: true, heading_level: 2}"
    entries = "\n\n".join(f"::: collapse_lab.{room}.{module}\n{options}" for module in modules)
    return f"# collapse_lab.{room}\n\n{text}\n\n{entries}\n"


def _option(page: Page) -> str:
    named = [entry for entry in page.entries if _last(entry) == "_target_"]
    classes = {entry.name.removesuffix("_target_").rstrip("."): entry.value for entry in named}
    entries = [entry for entry in page.entries if _last(entry) != "_target_" and not entry.name.startswith("defaults")]
    for entry in entries:
        entry.text = entry.text or _of_class(entry.name, classes)
    parts = [page.head]
    if classes:
        parts.append("Class: " + ", ".join(_linked(target) for target in dict.fromkeys(classes.values())) + ".")
    if page.chosen:
        parts.append("Chooses " + ", ".join(f"`{choice}`" for choice in page.chosen) + ".")
    if entries:
        parts.append(_table(entries))
    return "\n\n".join(part for part in parts if part)


def _of_class(name: str, classes: Mapping[str, str]) -> str:
    """Return what the class of the nearest node says of an argument, for keys on which the yaml file is silent."""
    node, _, argument = name.rpartition(".")
    return escaped(arguments_of(classes[node]).get(argument, "")) if node in classes else ""


def _last(entry: Entry) -> str:
    return entry.name.split(".")[-1]


def _linked(target: str) -> str:
    return f"[`{target}`][{target}]" if _documented(target) else f"`{target}`"


def _documented(target: str) -> bool:
    return target.startswith(tuple(f"collapse_lab.{room}." for room in ROOMS)) and target.count(".") > 2


def _table(entries: list[Entry]) -> str:
    rows = [f"| `{entry.name}` | {_code(entry.value)} | {entry.text.replace('|', '&#124;')} |" for entry in entries]
    return "\n".join(["| key | value | meaning |", "| --- | --- | --- |", *rows])


def _code(value: str) -> str:
    return f"`{value}`".replace("|", "&#124;") if value else ""


def _stem(group: str) -> str:
    return re.sub(r"\W", "_", group)
