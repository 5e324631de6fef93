"""A disk that is full from some write of this process on, without a file system of its own.

What Python writes is counted below one folder: files that are made, every write that reaches the system, folders,
renames and syncs. safetensors writes by itself, so that its call counts as one write.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
from safetensors import SafetensorError


@dataclass
class FullDisk:
    """Count the writes below a folder, and let some of them fail with ENOSPC.

    Attributes:
        root: the folder; other places are never full.
        first: the number of the first write that fails, from 1 on; None lets none fail.
        only: whether later writes go well again, because somebody has made room.
        writes: how many writes there have been.
    """

    root: Path
    first: int | None = None
    only: bool = False
    writes: int = 0

    def count(self, place: object) -> None:
        """Count a write to a place, and raise where the disk is full.

        Raises:
            OSError: the disk is full.
        """
        if not self._is_below(place):
            return
        self.writes += 1
        if self.first is not None and (self.writes == self.first or (self.writes > self.first and not self.only)):
            raise OSError(
                errno.ENOSPC, os.strerror(errno.ENOSPC), str(place) if isinstance(place, str | Path) else None
            )

    def _is_below(self, place: object) -> bool:
        if isinstance(place, int):
            try:
                place = Path(f"/proc/self/fd/{place}").readlink()
            except OSError:
                return False
        return isinstance(place, str | Path) and Path(place).absolute().is_relative_to(self.root)

    @contextmanager
    def mounted(self) -> Iterator[FullDisk]:
        """Count inside the block."""
        with pytest.MonkeyPatch.context() as patched:
            opener = self._opener(builtins.open)
            patched.setattr(builtins, "open", opener)
            patched.setattr(io, "open", opener)
            patched.setattr(os, "open", self._os_open(os.open))
            patched.setattr(os, "mkdir", self._counted(os.mkdir, 0))
            patched.setattr(os, "rename", self._counted(os.rename, 1))
            patched.setattr(os, "replace", self._counted(os.replace, 1))
            patched.setattr(os, "write", self._counted(os.write, 0))
            patched.setattr(os, "fsync", self._counted(os.fsync, 0))
            patched.setattr(safetensors.torch, "save_file", self._save_file(safetensors.torch.save_file))
            yield self

    def _counted(self, call: Callable[..., Any], place: int) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if not (call.__name__ == "mkdir" and Path(args[0]).exists()):  # because nothing is written then
                self.count(args[place])
            return call(*args, **kwargs)

        return counted

    def _os_open(self, call: Callable[..., int]) -> Callable[..., int]:
        def counted(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            if flags & os.O_CREAT and not Path(path).exists():
                self.count(path)
            return call(path, flags, *args, **kwargs)

        return counted

    def _opener(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if not set(mode) & set("wax+") or not self._is_below(file):
                return call(file, mode, *args, **kwargs)
            if not Path(file).exists():
                self.count(file)
            return self._file(file, mode, *args, **kwargs)

        return opened

    def _file(
        self,
        file: Any,
        mode: str,
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        """Return what `open` returns, over a raw file whose writes are counted."""
        disk = self

        class Raw(io.FileIO):
            def write(self, data: Any) -> int:
                disk.count(self.fileno())
                return super().write(data)

        raw = Raw(file, mode.replace("b", "").replace("t", ""))
        if "b" in mode and buffering == 0:
            return raw
        buffered: Any = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

    def _save_file(self, call: Callable[..., None]) -> Callable[..., None]:
        def counted(tensors: Any, path: Any, *args: Any) -> None:
            try:
                self.count(path)
            except OSError as full:  # in the words of safetensors, which wraps the system's errors in its own
                raise SafetensorError(f"Error while serializing: I/O error: {full.strerror} (os error 28)") from None
            call(tensors, path, *args)

        return counted
