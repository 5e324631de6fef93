"""The content-addressed store: a stage is computed once, committed whole, and shared by every run that needs it."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from stat import S_IMODE
from typing import TYPE_CHECKING, Any, Literal

from collapse_lab.errors import Diverged, UserError
from collapse_lab.storage.files import checksum, disk_is_full, full_disk_explained, locked, make_folder, sync
from collapse_lab.storage.mapped import MappedFile, checksum_once, scratch
from collapse_lab.storage.snapshots import remove_snapshot
from collapse_lab.types import Count, Executor

if TYPE_CHECKING:
    import torch
    from torch import Tensor

log = logging.getLogger(__name__)

Keep = Literal["all", "last", "metrics"]
# What reading a damaged entry may raise; a folder in the place of a file is an OSError
_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, IsADirectoryError, NotADirectoryError)
CHECKPOINTS, SUFFIX = ".checkpoints", ".safetensors"
TENSORS, META, MANIFEST = "tensors.safetensors", "meta.json", "manifest.json"
LARGE = 2**24  # bytes of tensors that are mapped from their file after it is written, instead of held


@dataclass(frozen=True)
class Payload:
    """Hold what a stage produces.

    Attributes:
        tensors: named tensors.
        meta: whatever JSON can hold.
        divergence: why the model gave no usable numbers, None where it did. A divergence is a result like any other:
            it is committed, and a second run finds it.
        seconds: how long the stage took; for a member of a pack, the wall time of the program divided by its members.
        file: the file in which the tensors lie, mapped; None where they lie in memory.
    """

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    divergence: str | None = None
    seconds: float = 0.0
    file: MappedFile | None = field(default=None, compare=False)

    def sound(self) -> Payload:
        """Return this payload.

        Raises:
            Diverged: the model diverged.
        """
        if self.divergence is not None:
            raise Diverged(self.divergence)
        return self


@dataclass(frozen=True)
class Size:
    """Hold how long a stage took, in seconds, and how many bytes it has."""

    seconds: float
    bytes: int


class Store:
    """Keep committed stages under `root/<kind>/<key>/`, each with a manifest of sizes and SHA-256 sums.

    Args:
        root: the store's folder.
        executor: how the cell waits for another process, and by which clock its stages are timed.
        keep: `all` keeps every stage. `last` drops the fits and samples of a generation once no later one reads them.
            `metrics` also commits every `every`-th generation only, so that a chain of thousands of generations costs
            neither disk nor fsyncs. What a restart then misses is computed again from the last committed generation,
            and comes out the same. Lines of the ledger are then synced with those generations and at the end of the
            run: the death of a process loses none of them; a power cut loses at most those since the last commit,
            which are computed again. Generation 0 is kept in any case, because other cells share it.
        every: the number of generations between commits, 1 or more.
    """

    def __init__(self, root: str | Path, executor: Executor, keep: Keep = "all", every: Count = 1) -> None:
        self.root, self.keep, self.every, self._executor = Path(root), keep, every, executor

    def open(self) -> None:
        """Make the folders, and remove checkpoints of stages that were committed by a process that then died.

        Raises:
            UserError: the store cannot be written to.
        """
        for name in (".tmp", ".locks"):
            make_folder(self.root / name, "paths.store")
        for path in (self.root / CHECKPOINTS).glob(f"*{SUFFIX}"):
            kind, _, key = path.name.removesuffix(SUFFIX).partition("-")
            if self.has(kind, key):
                remove_snapshot(path)

    def has(self, kind: str, key: str) -> bool:
        """Return whether the stage is committed. Its checksums are verified when it is first read."""
        return (self._entry(kind, key) / MANIFEST).exists()

    def size(self, kind: str, key: str) -> Size | None:
        """Return how long a committed stage took and how large it is, by its manifest; None where there is none."""
        try:
            manifest = json.loads((self._entry(kind, key) / MANIFEST).read_bytes())
            return Size(float(manifest["seconds"]), sum(int(file["bytes"]) for file in manifest["files"].values()))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def commits(self, generation: int) -> bool:
        """Return whether the fits and samples of this generation are written to disk at all."""
        return self.keep != "metrics" or generation % self.every == 0

    def obtain(self, kind: str, key: str, produce: Callable[[], Payload], describe: Mapping[str, Any]) -> Payload:
        """Return the stage's payload: read if it is committed, else produced here under its lock and committed.

        A process that needs a stage which another is producing waits for it, or takes over from a dead one.
        """
        payload = self.read(kind, key)
        if payload is not None:
            return payload
        with locked(self.root / ".locks" / f"{kind}-{key}", f"{kind} {key[:8]}", self._executor):
            payload = self.read(kind, key)
            if payload is None:
                begun = self._executor.clock()
                payload = produce()  # not `compute`, because a training step should be as few calls deep as can be
                payload = replace(payload, seconds=self._executor.clock() - begun)
                self._commit(kind, key, payload, describe)
                payload = self._mapped(kind, key, payload)
            return payload

    def allocate(self, shape: tuple[int, ...], /, *, dtype: torch.dtype) -> Tensor:
        """Return room for a tensor: in memory, or where it is large in a file without a name, mapped.

        The file is gone once nothing holds the tensor, also after a crash.

        Raises:
            UserError: the disk is full.
        """
        import torch

        size = math.prod(shape) * dtype.itemsize
        if size < LARGE:
            return torch.empty(shape, dtype=dtype)
        with full_disk_explained(self.root):
            return torch.frombuffer(scratch(self.root / ".tmp", size), dtype=dtype).reshape(shape)

    def compute(self, kind: str, key: str, produce: Callable[[], Payload]) -> Payload:
        """Return the stage's payload: read if another run has committed it, else produced, timed and not committed."""
        payload = self.read(kind, key)
        if payload is None:
            begun = self._executor.clock()
            payload = produce()
            payload = replace(payload, seconds=self._executor.clock() - begun)
            remove_snapshot(self.checkpoint(kind, key))
        return payload

    def checkpoint(self, kind: str, key: str) -> Path:
        """Return the file in which a stage that is being computed keeps its checkpoint.

        It lies beside the stages, is none itself, and is removed when its stage is complete.
        """
        return self.root / CHECKPOINTS / f"{kind}-{key}{SUFFIX}"

    def read(self, kind: str, key: str) -> Payload | None:
        """Return the committed payload, or None.

        An entry is believed only if its manifest names this kind and key, and lists every file that is loaded with its
        SHA-256 sum. Any other entry is set aside with a warning, and computed again. The sum of a file is verified
        once, and again if the file has changed since. The tensors lie in their file, mapped.
        """
        entry = self._entry(kind, key)
        if not entry.is_dir():
            return None
        try:
            return _verified(entry, kind, key)
        except FileNotFoundError as missing:
            if not entry.exists():  # because another process has removed it meanwhile
                return None
            self._set_aside(entry, f"{Path(missing.filename or '').name} is missing")
        except _DAMAGE as broken:
            self._set_aside(entry, str(broken) or type(broken).__name__)
        return None

    def look_up(self, kind: str, key: str) -> Payload:
        """Return the committed payload, verified as `read` does it. A damaged entry stays where it is.

        Raises:
            UserError: there is no such entry, it is damaged, or it cannot be read.
        """
        entry = self._entry(kind, key)
        try:
            return _verified(entry, kind, key)
        except (OSError, *_DAMAGE) as broken:
            reason = " ".join(str(broken).split()) or type(broken).__name__
            raise UserError(f"{entry} is damaged or cannot be read ({reason}): restore it, or remove it") from broken

    def forget(self, kind: str, key: str) -> None:
        """Remove a committed stage; a process that has it open keeps its mapping."""
        grave = self.root / ".tmp" / f"forgotten-{kind}-{key}-{os.getpid()}-{time.time_ns()}"
        with suppress(FileNotFoundError):  # because it was never committed, or another run has removed it first
            self._entry(kind, key).rename(grave)
            shutil.rmtree(grave, ignore_errors=True)

    def _entry(self, kind: str, key: str) -> Path:
        return entry_of(self.root, kind, key)

    def _mapped(self, kind: str, key: str, payload: Payload) -> Payload:
        """Return a payload that was committed, with large tensors in their file instead of in memory."""
        if sum(tensor.nbytes for tensor in payload.tensors.values()) < LARGE:
            return payload
        path = self._entry(kind, key) / TENSORS
        return replace(payload, tensors=_tensors(path), file=MappedFile.of(path))

    def _commit(self, kind: str, key: str, payload: Payload, describe: Mapping[str, Any]) -> None:
        # We hold this key's lock, so a draft found here was left by a crashed process: delete it
        draft = self.root / ".tmp" / f"{kind}-{key}"
        shutil.rmtree(draft, ignore_errors=True)
        final = self._entry(kind, key)
        try:
            draft.mkdir()
            _write(draft, payload, {"kind": kind, "key": key, **describe})
            final.parent.mkdir(parents=True, exist_ok=True)
            draft.rename(final)
            sync(final.parent)
            remove_snapshot(self.checkpoint(kind, key))
        except BaseException as error:
            shutil.rmtree(draft, ignore_errors=True)
            if disk_is_full(error):
                raise UserError(
                    f"the disk of {self.root} is full. Nothing that was committed is lost: make room (or set "
                    "store.keep=last, or paths.store to another disk) and give the same command again"
                ) from error
            raise

    def _set_aside(self, entry: Path, why: str) -> None:
        aside = self.root / ".aside" / f"{entry.parent.parent.name}-{entry.name}-{time.time_ns()}"
        try:
            with full_disk_explained(self.root):
                aside.parent.mkdir(exist_ok=True)
                entry.rename(aside)
        except FileNotFoundError:  # because another process has set it aside first
            return
        log.warning("a store entry failed its check (%s); set aside as %s and computed again", why, aside)


def entry_of(root: Path, kind: str, key: str) -> Path:
    """Return the folder of a stage that is committed to a store."""
    return root / kind / key[:2] / key


def _verified(entry: Path, kind: str, key: str) -> Payload:
    """Return the payload of an entry.

    Raises:
        FileNotFoundError: a file of the entry is missing.
        ValueError, KeyError, TypeError, AttributeError, OSError: the entry is damaged, or is another stage's.
    """
    manifest = json.loads((entry / MANIFEST).read_bytes())
    files = _listed(manifest, entry, kind, key)
    for name, expected in files.items():
        measured = checksum_once(entry / name)
        if measured != expected["sha256"]:
            raise ValueError(f"{name} has SHA-256 {measured[:12]}…, its manifest says {expected['sha256'][:12]}…")
    meta, divergence, seconds = json.loads((entry / META).read_bytes()), manifest["divergence"], manifest["seconds"]
    if not isinstance(meta, dict) or not isinstance(divergence, str | None) or not isinstance(seconds, int | float):
        raise TypeError("its manifest or meta.json has values of other types")
    if TENSORS not in files:
        return Payload({}, meta, divergence, seconds)
    path = entry / TENSORS
    return Payload(_tensors(path), meta, divergence, seconds, MappedFile.of(path))


def _listed(manifest: Mapping[str, Any], entry: Path, kind: str, key: str) -> dict[str, dict[str, str]]:
    """Return the files that the manifest of an entry lists.

    Raises:
        ValueError, KeyError, TypeError: the manifest is another stage's, or lists other files than there are.
    """
    if (manifest["kind"], manifest["key"]) != (kind, key):
        raise ValueError(f"its manifest names the stage {manifest['kind']} {manifest['key']}")
    files: dict[str, dict[str, str]] = manifest["files"]
    present = {path.name for path in entry.iterdir()} - {MANIFEST}
    if META not in files or not present <= set(files):
        raise ValueError(f"its manifest lists {sorted(files)}, and the folder holds {sorted(present)}")
    return files


def _tensors(path: Path) -> Mapping[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path.name} is no safetensors file: {error}") from error


def _write(draft: Path, payload: Payload, describe: Mapping[str, Any]) -> None:
    (draft / META).write_text(json.dumps(dict(payload.meta)))
    if payload.tensors:
        from safetensors.torch import save_file

        save_file({k: v.detach().cpu().contiguous() for k, v in payload.tensors.items()}, draft / TENSORS)
        # Because safetensors gives its file to its owner alone, take the mode of a file that follows the umask
        (draft / TENSORS).chmod(S_IMODE((draft / META).stat().st_mode))
    files = {}
    for path in sorted(draft.iterdir()):
        sync(path)
        files[path.name] = {"bytes": path.stat().st_size, "sha256": checksum(path)}
    outcome = {"divergence": payload.divergence, "seconds": payload.seconds, "files": files}
    (draft / MANIFEST).write_text(json.dumps({**describe, **outcome}, indent=1))
    sync(draft / MANIFEST)
    sync(draft)
