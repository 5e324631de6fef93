"""What `collapse-lab --help` prints, made from the first comment lines of the yaml files."""

from __future__ import annotations

from omegaconf import OmegaConf

from collapse_lab.config.explain import options_of
from collapse_lab.config.searchpath import folders


def register() -> None:
    """Register the resolver that the help template of `conf/config.yaml` reads."""
    OmegaConf.register_new_resolver("described", described, replace=True)


def described(group: str) -> str:
    """Return one line for each option of a group: its name, and the first comment line of its file."""
    lines = {}
    for folder in folders():
        for file in sorted((folder / group).glob("*.yaml")):
            comments = [line for line in file.read_text().splitlines() if line.startswith("#")]
            said = [line.lstrip("# ").rstrip() for line in comments if not line.startswith("# @package")]
            lines[file.stem] = said[0] if said else ""
        for inner in sorted(path for path in (folder / group).glob("*") if path.is_dir() and path.name not in lines):
            names = ", ".join(options_of(f"{group}/{inner.name}", [folder]))
            lines[inner.name] = f"The size of the experiment's paper, of {names}."
    width = max(map(len, lines), default=0)
    return "\n".join(f"  {name:<{width}}  {text}" for name, text in lines.items())
