"""Upload an exported folder to the hub, into a repository that holds nothing yet."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from collapse_lab.errors import UserError

NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
EMPTY = {".gitattributes", "README.md"}  # what a repository that was just made on the hub's page may hold


def check_repository(name: str, kind: str) -> None:
    """Refuse a repository that cannot be written to, before anything is computed.

    Args:
        name: `OWNER/NAME`.
        kind: `model` or `dataset`.

    Raises:
        UserError: the name has another form, the repository holds files, or the hub cannot be reached.
    """
    if not NAME.fullmatch(name):
        raise UserError(f"--push takes OWNER/NAME, as in somebody/faces-generation-5; got '{name}'")
    hub = _api()
    present = _asked(lambda: hub.repo_exists(name, repo_type=kind) and set(hub.list_repo_files(name, repo_type=kind)))
    if present and present - EMPTY:
        raise UserError(
            f"the {kind} {name} is on the hub already, with {len(present)} files, and nothing is overwritten: give "
            "another name to --push"
        )


def push(folder: Path, name: str, kind: str, message: str) -> str:
    """Upload a folder, and return the address of the upload. A repository that is new is private.

    Args:
        folder: what is uploaded.
        name: `OWNER/NAME`.
        kind: `model` or `dataset`.
        message: the message of the commit.

    Raises:
        UserError: the hub refuses it, or cannot be reached.
    """
    hub = _api()

    def upload() -> str:
        hub.create_repo(name, repo_type=kind, private=True, exist_ok=True)
        return str(hub.upload_folder(repo_id=name, repo_type=kind, folder_path=folder, commit_message=message))

    address: str = _asked(upload)
    return address


def _api() -> Any:
    import huggingface_hub

    return huggingface_hub.HfApi()


def _asked(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except Exception as error:  # because the library and its HTTP client raise classes of their own
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise UserError(
            f"the hub did not take it ({reason}): check the name, the network, and the token (`hf auth login`)"
        ) from error
