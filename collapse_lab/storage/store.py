"""The content-addressed store: a stage is computed once, committed whole, and shared by every run that asks for it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from collapse_lab.errors import UserError
from collapse_lab.packing.turns import clock
from collapse_lab.storage.files import checksum, disk_is_full, locked, make_folder, sync

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

Keep = Literal["all", "last", "metrics"]
TENSORS, META, MANIFEST = "tensors.safetensors", "meta.json", "manifest.json"


@dataclass(frozen=True)
class Payload:
    """What a stage produces: named tensors, plus whatever JSON can hold.

    seconds: how long it took; of a member of a pack, the wall time of the program divided by its members.
    """

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


def stage_key(kind: str, fields: Mapping[str, Any]) -> str:
    """The first 128 bits, in hex, of SHA-256 over the canonical JSON of what a stage depends on."""
    text = json.dumps({"kind": kind, **fields}, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Store:
    """Committed stages under `root/<kind>/<key>/`, each with a manifest of sizes and SHA-256 sums.

    keep: `all` keeps every stage. `last` drops the fits and samples of a generation once no later one reads them.
        `metrics` also commits only every `every`-th generation, so that a chain of thousands of generations costs
        neither disk nor fsyncs; what a restart then misses is computed again from the last committed generation, and
        comes out the same. Lines of the ledger are then synced with those generations and at the end of the run: none
        is lost by the death of a process, and by a power cut at most those since the last commit, which are computed
        again. Generation 0 stays in any case: other cells share it.
    """

    def __init__(self, root: str | Path, keep: Keep = "all", every: int = 1) -> None:
        if keep not in ("all", "last", "metrics"):
            raise UserError(f"store.keep is one of all, last, metrics; got '{keep}'")
        if every < 1:
            raise UserError(f"store.every is the number of generations between commits, 1 or more; got {every}")
        self.root, self.keep, self.every = Path(root), keep, every

    def open(self) -> None:
        """Makes the folders.

        Raises:
            UserError: the store cannot be written to.
        """
        for name in (".tmp", ".locks"):
            make_folder(self.root / name, "paths.store")

    def has(self, kind: str, key: str) -> bool:
        """Whether the stage is committed (its checksums are looked at when it is read)."""
        return (self._entry(kind, key) / MANIFEST).exists()

    def commits(self, generation: int) -> bool:
        """Whether the fits and samples of this generation are written to disk at all."""
        return self.keep != "metrics" or generation % self.every == 0

    def obtain(self, kind: str, key: str, produce: Callable[[], Payload], describe: Mapping[str, Any]) -> Payload:
        """The stage's payload: read if it is committed, else produced here under its lock and committed.

        A process that asks for a stage that another is producing waits for it, or takes over from a dead one.
        """
        found = self.read(kind, key)
        if found is not None:
            return found
        with locked(self.root / ".locks" / f"{kind}-{key}", f"{kind} {key[:8]}"):
            found = self.read(kind, key)
            if found is not None:
                return found
            payload = timed(produce)
            self._commit(kind, key, payload, describe)
            return payload

    def read(self, kind: str, key: str) -> Payload | None:
        """The committed payload, or None. An entry that fails its checksums is set aside, and said."""
        entry = self._entry(kind, key)
        try:
            manifest = json.loads((entry / MANIFEST).read_bytes())
            for name, expected in manifest["files"].items():
                found = checksum(entry / name)
                if found != expected["sha256"]:
                    raise ValueError(f"{name} has SHA-256 {found[:12]}…, its manifest says {expected['sha256'][:12]}…")
            return Payload(self._tensors(entry), json.loads((entry / META).read_bytes()), manifest["seconds"])
        except FileNotFoundError as missing:
            if not entry.exists():
                return None
            self._set_aside(entry, f"{Path(missing.filename).name} is missing")
        except (ValueError, KeyError, TypeError, AttributeError) as broken:
            self._set_aside(entry, str(broken))
        return None

    def forget(self, kind: str, key: str) -> None:
        """Removes a committed stage; a process that has it open keeps its mapping."""
        grave = self.root / ".tmp" / f"forgotten-{kind}-{key}-{os.getpid()}-{time.time_ns()}"
        with suppress(FileNotFoundError):  # never committed, or another run was first
            self._entry(kind, key).rename(grave)
            shutil.rmtree(grave, ignore_errors=True)

    def _entry(self, kind: str, key: str) -> Path:
        return self.root / kind / key[:2] / key

    @staticmethod
    def _tensors(entry: Path) -> Mapping[str, Tensor]:
        if not (entry / TENSORS).exists():
            return {}
        from safetensors.torch import load_file

        return load_file(entry / TENSORS)

    def _commit(self, kind: str, key: str, payload: Payload, describe: Mapping[str, Any]) -> None:
        # Named by the key: this process holds its lock, so whatever lies there is a dead process's
        draft = self.root / ".tmp" / f"{kind}-{key}"
        shutil.rmtree(draft, ignore_errors=True)
        final = self._entry(kind, key)
        try:
            draft.mkdir()
            self._write(draft, payload, {"kind": kind, "key": key, **describe})
            final.parent.mkdir(parents=True, exist_ok=True)
            draft.rename(final)
            sync(final.parent)
        except BaseException as error:
            shutil.rmtree(draft, ignore_errors=True)
            if disk_is_full(error):
                raise UserError(
                    f"the disk of {self.root} is full. Nothing that was committed is lost: make room (or set "
                    "store.keep=last, or paths.store to another disk) and give the same command again"
                ) from error
            raise

    @staticmethod
    def _write(draft: Path, payload: Payload, describe: Mapping[str, Any]) -> None:
        if payload.tensors:
            from safetensors.torch import save_file

            save_file({k: v.detach().cpu().contiguous() for k, v in payload.tensors.items()}, draft / TENSORS)
        (draft / META).write_text(json.dumps(dict(payload.meta)))
        files = {}
        for path in sorted(draft.iterdir()):
            sync(path)
            files[path.name] = {"bytes": path.stat().st_size, "sha256": checksum(path)}
        manifest = {**describe, "seconds": payload.seconds, "files": files}
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=1))
        sync(draft / MANIFEST)
        sync(draft)

    def _set_aside(self, entry: Path, why: str) -> None:
        aside = self.root / ".aside" / f"{entry.parent.parent.name}-{entry.name}-{time.time_ns()}"
        aside.parent.mkdir(exist_ok=True)
        try:
            entry.rename(aside)
        except FileNotFoundError:  # another process was first
            return
        log.warning("a store entry failed its check (%s); set aside as %s and computed again", why, aside)


def timed(produce: Callable[[], Payload]) -> Payload:
    """The payload with the time that producing it took."""
    start = clock()
    payload = produce()
    return Payload(payload.tensors, payload.meta, clock() - start)
