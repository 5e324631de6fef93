"""Keep the ledgers behind the published tables, so that whoever doubts a verdict can judge the claims from them.

    python -m docs.ledgers pack runs           # add the runs that are over to docs/ledgers, a file for each experiment
    python -m docs.ledgers unpack build/ledgers

A file holds the config.yaml and the ledger.jsonl of each run folder, and neither samples nor weights. `make claims`
unpacks them and writes docs/claims.md anew.
"""

from __future__ import annotations

import argparse
import io
import lzma
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from collapse_lab.errors import UserError
from collapse_lab.results.collect import collect
from collapse_lab.storage.files import write_whole
from collapse_lab.storage.formats import CONFIG
from collapse_lab.storage.ledger import LEDGER

KEPT = Path(__file__).parent / "ledgers"
SUFFIX = ".tar.xz"


def main(arguments: Sequence[str] | None = None) -> int:
    """Pack or unpack as the command line asks.

    Args:
        arguments: The command line without the program's name; None takes that of the process.

    Returns:
        The exit code: 0, or 2 for bad input.
    """
    parser = argparse.ArgumentParser(prog="python -m docs.ledgers", description=__doc__)
    parser.add_argument("--kept", type=Path, default=KEPT, metavar="FOLDER", help="where the files are; docs/ledgers")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("pack").add_argument("paths", nargs="+", type=Path, help="run folders, or folders of run folders")
    verbs.add_parser("unpack").add_argument("folder", type=Path, help="where the run folders shall lie")
    options = parser.parse_args(arguments)
    try:
        if options.verb == "unpack":
            unpack(options.kept, options.folder)
        else:
            pack(options.paths, options.kept)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def pack(paths: Sequence[Path], kept: Path) -> None:
    """Add the runs that are over to the files in a folder. A run that a file holds already stays as it is there.

    Args:
        paths: Run folders, or folders of run folders.
        kept: The folder of the files.

    Raises:
        UserError: there is no run at the paths, or a run cannot be read.
    """
    of_experiments: dict[str, dict[str, bytes]] = {}
    for run in collect(paths).runs:
        if run.status in ("complete", "diverged"):
            members = of_experiments.setdefault(run.name, {})
            for name in (CONFIG, LEDGER):
                members[f"{run.name}/{run.signature}/{name}"] = (run.folder / name).read_bytes()
    for experiment, members in of_experiments.items():
        path = kept / f"{experiment}{SUFFIX}"
        before = _members(path) if path.exists() else {}
        together = {**members, **before}
        write_whole(path, _packed(together))
        print(f"{path}: {len(together) // 2} runs, {(len(together) - len(before)) // 2} of them new")


def unpack(kept: Path, folder: Path) -> None:
    """Write the run folders of all files in a folder.

    Args:
        kept: The folder of the files.
        folder: Where the run folders shall lie, as FOLDER/experiment/signature; made if it is missing.

    Raises:
        UserError: a file cannot be read.
    """
    for path in sorted(kept.glob(f"*{SUFFIX}")):
        for name, data in _members(path).items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)


def _members(path: Path) -> dict[str, bytes]:
    """Return the files in a packed file by name, of which each is experiment/signature/file."""
    found = {}
    try:
        with tarfile.open(path, "r:xz") as archive:
            for member in archive:
                data, parts = archive.extractfile(member), Path(member.name).parts
                if data is None or len(parts) != 3 or ".." in parts or Path(member.name).is_absolute():
                    raise UserError(f"{path} holds '{member.name}', which is no file of a run folder: delete {path}")
                found[member.name] = data.read()
    except (OSError, tarfile.TarError, lzma.LZMAError) as error:
        raise UserError(f"{path} cannot be read ({error}): take it from the repository again") from error
    return found


def _packed(members: Mapping[str, bytes]) -> bytes:
    """Return the files packed, the same bytes for the same files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz", preset=9) as archive:
        for name in sorted(members):
            information = tarfile.TarInfo(name)  # because a new one has neither a time nor an owner
            information.size = len(members[name])
            archive.addfile(information, io.BytesIO(members[name]))
    return buffer.getvalue()


if __name__ == "__main__":
    sys.exit(main())
