"""One node under way: what its spec says, where its inputs lie, where its files go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from ..store import Attempt, Store
from .data import TaskData, open_task
from .ranks import Bystander


@dataclass(frozen=True)
class Node:
    """A node that an attempt has begun to compute."""

    store: Store
    spec: Mapping[str, Any]
    attempt: Attempt | Bystander
    device: torch.device

    @property
    def key(self) -> str:
        """The node's key, 64 hex digits."""
        return str(self.spec["key"])

    @property
    def folder(self) -> Path:
        """The node's folder, of all its attempts."""
        return self.store.node_dir(self.key)

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the key was made of."""
        identity: Mapping[str, Any] = self.spec["identity"]
        return identity

    @property
    def where(self) -> Mapping[str, Any]:
        """Where things lie on this machine; no part of the identity."""
        where: Mapping[str, Any] = self.spec["where"]
        return where

    @property
    def task(self) -> str:
        """The name of the task of an adapt or evaluate node."""
        return str(self.spec["labels"]["task"])

    @property
    def stem(self) -> str:
        """The implementation without its family: 'smit' of 'methods.smit'."""
        return str(self.identity["implementation"]).rpartition(".")[2]

    def log(self, line: str) -> None:
        """Add a line with the time to the attempt's log."""
        stamp = datetime.now(UTC).isoformat(timespec="seconds")
        with self.attempt.log.open("a", encoding="utf-8") as log:
            log.write(f"{stamp} {line}\n")

    def data(self) -> TaskData:
        """Open the data of the node's task."""
        return self.open(self.task, str(self.identity["data"]["fingerprint"]))

    def open(self, task: str, fingerprint: str) -> TaskData:
        """Open the data of any task that the spec describes."""
        return open_task(
            task, self.where, results=Path(self.store.root), expected=fingerprint,
            log=self.log,
        )  # fmt: skip
