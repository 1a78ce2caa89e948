"""A dataset that exists: a folder with its files, or a generator."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from ..schema.task import TaskSpec


@dataclass(frozen=True)
class Dataset:
    """What a format lists and reads cases of.

    root: the folder or file that the format says, None where cases are generated; noted:
    where faults of the listing are collected, in place of an end at the first that counts.
    """

    name: str
    spec: TaskSpec
    root: Path | None
    generator: ModuleType | None = None
    noted: list[str] | None = field(default=None, compare=False)

    @property
    def place(self) -> Path:
        """The folder or file. ValueError where there is none."""
        if self.root is None:
            msg = f"dataset {self.name!r} was opened without a folder"
            raise ValueError(msg)
        return self.root
