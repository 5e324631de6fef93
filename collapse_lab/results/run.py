"""One run folder: its resolved configuration and its ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from collapse_lab.errors import UserError
from collapse_lab.results.settings import flattened
from collapse_lab.storage.formats import CONFIG, FORMAT, MARK, upgraded
from collapse_lab.storage.ledger import LEDGER, read
from collapse_lab.types import Record


@dataclass(frozen=True)
class Run:
    """Hold one run folder: its resolved configuration and its ledger.

    Attributes:
        folder: The run folder.
        config: The resolved configuration, nested, in the shape of today's format.
        records: The records of the ledger, oldest first.
        format: The format of the run folder (`storage.formats`).
    """

    folder: Path
    config: Mapping[str, Any]
    records: tuple[Record, ...]
    format: int = FORMAT

    @property
    def name(self) -> str:
        """Return the name of the experiment."""
        return str(self.config.get("name", self.folder.parent.name))

    @property
    def signature(self) -> str:
        """Return the name of the run folder."""
        return self.folder.name

    @property
    def seed(self) -> Any:
        """Return the seed; None where the configuration has none."""
        return self.config.get("seed")

    @cached_property
    def last(self) -> int:
        """Return the last generation in the ledger; -1 where the ledger is empty.

        Because the CSV asks for it once for each record of a long chain, search the ledger once.
        """
        return max((record.generation for record in self.records), default=-1)

    @property
    def status(self) -> str:
        """Return "complete", "diverged" or e.g. "unfinished (3 of 5)"."""
        if any(record.status == "diverged" for record in self.records):
            return "diverged"
        planned = self.config.get("generations")
        if isinstance(planned, int) and self.last < planned:
            return f"unfinished ({max(self.last, 0)} of {planned})"
        return "complete"

    @property
    def fingerprints(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what each feature space was made with: the fingerprints of the last record that has any.

        A generation that diverged measured nothing, so its record has no fingerprints.
        """
        return next((record.features for record in reversed(self.records) if record.features), {})

    @cached_property
    def by_generation(self) -> Mapping[int, Sequence[Record]]:
        """Return the records of each generation, one for each model.

        Because a chain may have tens of thousands of generations, search the ledger once and not once for each of them.
        """
        records: dict[int, list[Record]] = {}
        for record in self.records:
            records.setdefault(record.generation, []).append(record)
        return records

    @cached_property
    def flat(self) -> dict[str, Any]:
        """Return the configuration with dotted names, without the settings that cannot change the numbers."""
        return flattened(self.config)


def read_run(folder: Path) -> Run:
    """Read one run folder.

    Args:
        folder: A folder that holds config.yaml and a ledger.

    Returns:
        The run with its configuration and its records.

    Raises:
        UserError: config.yaml cannot be read or is not a mapping, or the ledger cannot be read.
    """
    path = folder / CONFIG
    try:
        config = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read ({error}); a run folder holds config.yaml and {LEDGER}") from error
    if not isinstance(config, dict):
        raise UserError(f"{path} should hold a mapping of settings, and holds a {type(config).__name__}")
    return Run(folder, upgraded(config), tuple(read(folder / LEDGER)), int(config.get(MARK, 1)))
