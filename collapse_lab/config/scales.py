"""Choose the paper's sizes for the experiment that a command line names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from collapse_lab.config.explain import options_of
from collapse_lab.errors import UserError

PAPER = "paper"  # the scale of which every experiment has its own file, conf/scale/paper/<experiment>.yaml

# What the experiments need at their paper's size that nobody can give them here
ABSENT = dict.fromkeys(
    ("nepotistic", "nepotistic_healing"),
    "needs Stable Diffusion 2.1, which no family here is, and the paper's 900 faces, and arXiv:2311.12202 gives no "
    "learning rate, steps or guidance; leave the scale out, or take its sizes for images of your own: n_train=900 "
    "n_samples=900 dataset=imagefolder dataset.root=FOLDER",
)


def at_scale(overrides: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """Return the overrides with `+scale=paper` written out as `+scale=paper/<experiment>`, behind all others.

    The scale stands last because Hydra composes options in the order of the line, and the scale has to replace sizes
    of the experiment. Keys that the user sets win over both.

    Args:
        overrides: what the user typed.
        folders: the folders of configuration files.

    Raises:
        UserError: there is no experiment, there are several, it has no file of the paper's sizes, or it needs what is
            not here at these sizes.
    """
    written = f"+scale={PAPER}"
    if written not in overrides:
        return list(overrides)
    others = [override for override in overrides if override != written]
    experiments = [override.partition("=")[2] for override in others if override.startswith("+experiment=")]
    if len(experiments) == 1 and experiments[0] in ABSENT:
        raise UserError(f"{written} of +experiment={experiments[0]} {ABSENT[experiments[0]]}")
    known = options_of(f"scale/{PAPER}", folders)
    if len(experiments) != 1 or experiments[0] not in known:
        given = ", ".join(f"+experiment={name}" for name in experiments) or "no experiment"
        raise UserError(
            f"{written} goes with one experiment of a paper, +experiment=NAME with NAME one of {', '.join(known)}; got "
            f"{given}"
        )
    return [*others, f"{written}/{experiments[0]}"]
