"""Fetch the files of a repository on the hub, or find them in its cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def fetched(
    name: str, revision: str | None, cache: str, wanted: Sequence[str], unwanted: Sequence[str], local: bool
) -> Path:
    """Return the folder with the files of a repository.

    Args:
        name: "owner/name" on the hub.
        revision: a commit, tag or branch.
        cache: the folder whose subfolder `hub` holds what was fetched.
        wanted: patterns of the files that are read.
        unwanted: patterns of files that are left out of these.
        local: whether no request is made, and files that are not in the cache are an error.

    Raises:
        OSError, ValueError: the files cannot be had, because the hub's own errors derive from these two.
    """
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            name,
            revision=revision,
            cache_dir=Path(cache).expanduser() / "hub",
            allow_patterns=[*wanted],
            ignore_patterns=[*unwanted],
            local_files_only=local,
        )
    )
