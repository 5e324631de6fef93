"""Choose the sizes of a scale for the experiment that a command line names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from collapse_lab.config.explain import options_of
from collapse_lab.errors import UserError

PAPER = "paper"  # the scale of which every experiment has its own file, conf/scale/paper/<experiment>.yaml

# The experiments that are another one at their paper's size, and the line that is that one
LARGER = {"nepotistic": "", "nepotistic_healing": " mixing=heal_evenly generations=10"}

# The experiments that no paper gives a size for, and why
UNSIZED = {
    "accumulate_vs_replace": "the sizes of the linear regressions of arXiv:2404.01413 are not known",
    "interacting_images": "it is an extension of ours of arXiv:2505.21677, which has no images",
    "recursive_rkhs": "arXiv:2305.17493 proves the collapse of these estimates and has no experiment with them",
}


def at_scale(overrides: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """Return the overrides with `+scale=NAME` written out as `+scale=NAME/<experiment>`, behind the experiment.

    An experiment whose paper gives sizes has a file of `+scale=paper`, which stands behind all others. At others few
    experiments have one; the others take the file of all, and the overrides stay as they are. The scale stands behind
    because Hydra composes options in the order of the line, and the scale has to replace sizes of the experiment. Keys
    that the user sets win over both.

    Args:
        overrides: what the user typed.
        folders: the folders of configuration files.

    Raises:
        UserError: there is no experiment, there are several, its paper gives no sizes, or it needs what is not here
            at these sizes.
    """
    scales = [override.partition("=")[2] for override in overrides if override.startswith("+scale=")]
    if len(scales) != 1:
        return list(overrides)
    written = f"+scale={scales[0]}"
    others = [override for override in overrides if override != written]
    experiments = [override.partition("=")[2] for override in others if override.startswith("+experiment=")]
    known = options_of(f"scale/{scales[0]}", folders)
    has_own = len(experiments) == 1 and experiments[0] in known
    if scales[0] != PAPER:
        if not has_own:
            return list(overrides)
        behind = max(overrides.index(written), 1 + others.index(f"+experiment={experiments[0]}"))
        return [*others[:behind], f"{written}/{experiments[0]}", *others[behind:]]
    if len(experiments) == 1 and experiments[0] in LARGER:
        raise UserError(
            f"{written} of +experiment={experiments[0]} is an experiment of its own, because the paper retrains Stable "
            f"Diffusion 2.1 on faces; leave the scale out, or give +experiment=nepotistic_faces {written}"
            f"{LARGER[experiments[0]]} model.pretrained=FOLDER dataset.root=FACES"
        )
    if len(experiments) == 1 and experiments[0] in UNSIZED and not has_own:
        raise UserError(
            f"there is no {written} of +experiment={experiments[0]}, because {UNSIZED[experiments[0]]}; leave the "
            "scale out: the sizes of the experiment are ours"
        )
    if not has_own:
        given = ", ".join(f"+experiment={name}" for name in experiments) or "no experiment"
        raise UserError(
            f"{written} goes with one experiment of a paper, +experiment=NAME with NAME one of {', '.join(known)}; got "
            f"{given}"
        )
    return [*others, f"{written}/{experiments[0]}"]
