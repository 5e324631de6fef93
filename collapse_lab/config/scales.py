"""Choose the paper's sizes for the experiment that a command line names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from collapse_lab.errors import UserError

PAPER = "paper"  # the scale of which every experiment has its own file, conf/scale/paper/<experiment>.yaml


def at_scale(overrides: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """Return the overrides with `+scale=paper` written out as `+scale=paper/<experiment>`, behind all others.

    The scale stands last because Hydra composes options in the order of the line, and the scale has to replace sizes
    of the experiment. Keys that the user sets win over both.

    Args:
        overrides: what the user typed.
        folders: the folders of configuration files.

    Raises:
        UserError: there is no experiment, there are several, or it has no file of the paper's sizes.
    """
    written = f"+scale={PAPER}"
    if written not in overrides:
        return list(overrides)
    others = [override for override in overrides if override != written]
    experiments = [override.partition("=")[2] for override in others if override.startswith("+experiment=")]
    known = sorted(path.stem for folder in folders for path in (folder / "scale" / PAPER).glob("*.yaml"))
    if len(experiments) != 1 or experiments[0] not in known:
        given = ", ".join(f"+experiment={name}" for name in experiments) or "no experiment"
        raise UserError(
            f"{written} goes with one experiment of a paper, +experiment=NAME with NAME one of {', '.join(known)}; got "
            f"{given}"
        )
    return [*others, f"{written}/{experiments[0]}"]
