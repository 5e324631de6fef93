"""What frozen networks make of rows and prompts before a family trains on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from collapse_lab.types.data import Rows
from collapse_lab.types.execution import Allocate
from collapse_lab.types.family import Progress

if TYPE_CHECKING:
    from torch import Tensor

States = Callable[[Sequence[str]], Rows]  # from n prompts to what the encoder makes of them, (n, …)


class Encoder(Protocol):
    """Encode rows and prompts with networks that no fit changes.

    What it gives is kept in stages of the store, which all fits and samplings share. So the encoding of a row or a
    prompt depends on nothing but itself and the identity here: not on the rows beside it, and on no random number.
    """

    @property
    def row_identity(self) -> Mapping[str, Any]:
        """Return what the encoding of a row depends on besides the row."""
        ...

    @property
    def prompt_identity(self) -> Mapping[str, Any]:
        """Return what the encoding of a prompt depends on besides its text."""
        ...

    def encode_rows(self, rows: Rows, device: str, progress: Progress, allocate: Allocate) -> Tensor:
        """Return the encodings (n, …) of rows, written batch after batch into the tensor that `allocate` makes."""
        ...

    def encode_prompts(self, texts: Sequence[str], device: str, progress: Progress, allocate: Allocate) -> Tensor:
        """Return the encodings (n, …) of prompts, among which the empty one may stand for "no condition".

        Raises:
            UserError: the encoder does not take a prompt.
        """
        ...

    def close(self) -> None:
        """Let go of the networks; they are read again when they are needed."""
        ...
