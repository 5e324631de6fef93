"""A sink of a user that takes a token, as a sink of a chat service would."""

from collections.abc import Sequence
from pathlib import Path

from collapse_lab.types import Record, RunInfo


class Tokened:
    """Print how long the token is, and nothing else, so that a test sees that the token arrived."""

    def __init__(self, token: str) -> None:
        self._length = len(token)

    def open(self, run: RunInfo, past: Sequence[Record]) -> None:
        print(f"the token has {self._length} characters")

    def record(self, record: Record) -> None:
        pass

    def grid(self, generation: int, model: str, subset: str, path: Path) -> None:
        pass

    def close(self, status: str) -> None:
        pass


class Broken(Tokened):
    """Fail as a user's own class may, with the token in the message."""

    def __init__(self, token: str) -> None:
        raise RuntimeError(f"the service refuses the token {token}")
