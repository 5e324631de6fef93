"""Where a pipeline comes from: a folder of the user, or the hub's cache, which is filled when that is asked for."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from collapse_lab.errors import UserError
from collapse_lab.nn.pipeline import INDEX, NETWORKS, SCHEDULER, SECOND, PipelineFolder
from collapse_lab.storage.hub import fetched
from collapse_lab.types import Need

# What is fetched from the hub: the parts that are read. A name before the ending marks other weights, such as fp16
READ = ("config.json", "*.safetensors", "*.safetensors.index.json")
FETCHED = (INDEX, SCHEDULER, "tokenizer*/*", *(f"{part}/{file}" for part in (*NETWORKS, SECOND) for file in READ))
VARIANTS = ("*/*.fp16.*", "*/*.non_ema.*", "*/*.bf16.*")


def find_pipeline(pretrained: str | None, revision: str | None, download: bool, cache: str) -> PipelineFolder:
    """Return the folder of a pipeline.

    Args:
        pretrained: A folder, or "owner/name" on the hub.
        revision: The commit on the hub; None for a folder.
        download: Whether files that are not in the cache are fetched from the hub.
        cache: The folder whose subfolder `hub` holds files from the hub.

    Raises:
        UserError: nothing is given, there is no such folder, or the hub's files cannot be had.
    """
    if not pretrained:
        raise UserError(
            "model=stable_diffusion needs model.pretrained: a folder that save_pretrained of diffusers wrote, of "
            "Stable Diffusion 1.x, 2.x or SDXL, or a name on the hub with model.revision"
        )
    path = Path(pretrained).expanduser()
    if path.is_dir():
        return PipelineFolder(path)
    if path.is_file():
        raise UserError(
            f'model.pretrained={pretrained} is a file, and a folder is expected: convert it by python -c "from '
            "diffusers import StableDiffusionPipeline as P; "
            f"P.from_single_file('{pretrained}').save_pretrained('NEW')\""
        )
    if pretrained.count("/") != 1 or pretrained.startswith(("/", ".", "~")) or pretrained.endswith("/"):
        raise UserError(
            f"model.pretrained={pretrained} is no folder here: correct the path, or give a name on the hub as "
            "owner/name"
        )
    if revision is None:
        raise UserError(
            f"model.pretrained={pretrained} is no folder here; a name on the hub needs model.revision: give the commit "
            "from its page, so that the same weights come every time"
        )
    return PipelineFolder(_from_hub(pretrained, revision, download, cache))


def need_of(pretrained: str | None, revision: str | None, cache: str) -> Need:
    """Return a pipeline as something that a run takes from elsewhere; the arguments are those of `find_pipeline`."""
    find = partial(find_pipeline, pretrained, revision, cache=cache)
    if not pretrained or revision is None or Path(pretrained).expanduser().exists():
        find(download=False)  # because a wrong path or name is bad input
        return Need(f"pipeline {pretrained}", True, partial(find, download=False))
    try:
        find(download=False)
        held = True
    except UserError:
        held = False  # the files are not there, or not all of them
    what = " at ".join(filter(None, (f"pipeline {pretrained}", revision)))
    return Need(what, held, partial(find, download=not held))


def _from_hub(name: str, revision: str, download: bool, cache: str) -> Path:
    try:
        return fetched(name, revision, cache, FETCHED, VARIANTS, local=not download)
    except (OSError, ValueError) as error:
        remedy = "check name, revision and network" if download else "give model.download=true to fetch it"
        raise UserError(
            f"model.pretrained={name} at revision {revision} cannot be had ({type(error).__name__}): {remedy}, or give "
            "a folder"
        ) from error
