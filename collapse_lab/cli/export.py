"""`collapse-lab export RUN --to FOLDER`: one generation of a run for diffusers, transformers or datasets."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from stat import S_IMODE
from typing import Literal, NoReturn
from uuid import uuid4

from collapse_lab.errors import UserError

DESCRIPTION = """\
Write one generation of a run into a folder that others open without collapse_lab, with a card that says where it comes
from. The store has to hold the generation: nothing is computed here.

  causal_lm                    AutoModelForCausalLM and AutoTokenizer of transformers
  ddim                         DDIMPipeline of diffusers, where that class draws the same images
  ddpm, text2image, vae        DiffusionPipeline of diffusers; the pipeline's class lies beside the weights
  latent_diffusion             StableDiffusionPipeline of diffusers
  stable_diffusion             StableDiffusionPipeline or StableDiffusionXLPipeline; adapters (LoRA) are merged

The weights are those that the generation sampled with: the moving average where the family keeps one.
"""
EPILOG = """\
examples
  collapse-lab export runs/nepotistic/0123456789ab --generation 5 --to exported
  collapse-lab export runs/nepotistic/0123456789ab --generation 5 --to images --samples
  collapse-lab export runs/nepotistic/0123456789ab --to exported paths.store=/elsewhere/.store

Exit code: 0 written; 1 written, but not uploaded; 2 bad input.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a folder, and upload it where that is asked for.

    Args:
        arguments: the command line without the program's name; None takes that of this process.

    Returns:
        Exit code 0 when the folder is written, 1 when it is written and was not uploaded, 2 for bad input.
    """
    try:
        return _run(_parser().parse_intermixed_args(arguments))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="collapse-lab export",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    def refuse(message: str) -> NoReturn:
        raise UserError(f"{message}; `collapse-lab export --help` lists the options")

    parser.error = refuse  # type: ignore[method-assign]
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder: runs/<experiment>/<signature>")
    parser.add_argument(
        "changes",
        nargs="*",
        metavar="KEY=VALUE",
        help="what lies elsewhere now than when the run was computed: paths.store, paths.data, model.pretrained",
    )
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="a new folder, or an empty one")
    parser.add_argument("--generation", type=int, metavar="G", help="the generation (default: the last complete one)")
    parser.add_argument("--member", metavar="NAME", help="the model of a population that has several")
    parser.add_argument(
        "--samples",
        action="store_true",
        help="write the generation's samples instead of its model: pictures with captions for "
        "load_dataset('imagefolder'), or texts.jsonl",
    )
    parser.add_argument(
        "--push",
        metavar="OWNER/NAME",
        help="also upload the folder to the Hugging Face hub; a new repository is private",
    )
    return parser


def _run(options: argparse.Namespace) -> int:
    _check_empty(options.to)
    kind: Literal["model", "samples"] = "samples" if options.samples else "model"
    repository = "dataset" if options.samples else "model"
    # Imported here, because --help and a refusal do without torch
    from collapse_lab.sharing.card import write_card
    from collapse_lab.sharing.chosen import choose
    from collapse_lab.sharing.hub import check_repository, push
    from collapse_lab.sharing.samples import export_samples

    if options.push:
        check_repository(options.push, repository)
    chosen = choose(options.run, options.generation, options.member, options.changes, kind)
    with _whole(options.to) as draft:
        made = export_samples(chosen, draft) if options.samples else chosen.export(draft)
        write_card(chosen, made, kind, draft, options.push or str(options.to))
    what = f"the {kind} of generation {chosen.step.generation} of {chosen.run.name}/{chosen.run.signature}"
    print(f"{options.to} holds {what}; its README.md says how to open it")
    if options.push:
        try:
            print(f"uploaded: {push(options.to, options.push, repository, f'Add {what}')}")
        except UserError as error:
            print(f"error: {options.to} is whole, and was not uploaded: {error}", file=sys.stderr)
            return 1
    return 0


def _check_empty(folder: Path) -> None:
    try:
        taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}): give another folder with --to") from error
    if taken:
        what = "is not empty" if folder.is_dir() else "is a file"
        raise UserError(f"--to takes a new folder or an empty one, and {folder} {what}; nothing is overwritten")


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """Give a folder to fill, and put it in the place of another at the end, so that a failure leaves nothing."""
    from collapse_lab.storage.files import full_disk_explained, make_folder

    place = folder.absolute()
    make_folder(place.parent, "--to")
    draft = place.parent / f".{place.name}-{uuid4().hex}"
    draft.mkdir()
    try:
        with full_disk_explained(folder):
            yield draft
            # Because safetensors gives its files to their owner alone, take the mode of one that follows the umask
            mode = S_IMODE((draft / "README.md").stat().st_mode)
            for file in draft.rglob("*"):
                if file.is_file():
                    file.chmod(mode)
            if folder.is_dir():  # because it may be a file system of its own
                for part in draft.iterdir():
                    shutil.move(part, folder / part.name)
            else:
                draft.replace(folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error}): give another folder with --to") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
