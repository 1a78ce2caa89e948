"""Checkpoints of a training under way: whole or absent, hashed, and never a pickle.

Each is two files in the node's folder `checkpoints/`: tensors as safetensors, then a
JSON that names them with their sha256 and holds everything else. The JSON comes last, so
a checkpoint exists when it does. The last two are kept, since the newest may turn out to
be damaged. Any attempt at the node, on any host, goes on from them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..store.durable import (
    draft_name,
    hash_file,
    put_in_place,
    sync_and_hash,
    write_bytes,
)
from ..store.records import CHECKPOINTS

FORMAT = 1
_KEPT = 2


class Unusable(Exception):
    """A checkpoint that cannot be resumed from; the message says why."""


@dataclass(frozen=True)
class Snapshot:
    """What a checkpoint holds. step: optimiser steps done; tensors: on the CPU."""

    step: int
    tensors: Mapping[str, Tensor]
    about: Mapping[str, Any]


class Snapshots:
    """The checkpoints of one node, written by one attempt.

    node: the node's folder; attempt: its id, part of the names, so that two attempts
    never write the same file; log: takes a line for people.
    """

    def __init__(self, node: Path, attempt: str, log: Callable[[str], None]) -> None:
        self.folder = node / CHECKPOINTS
        self._attempt = attempt
        self._log = log

    def save(self, snapshot: Snapshot) -> Path | None:
        """Write a checkpoint and return its JSON, or None where the disk refuses.

        A training goes on without: the log says why, and the next one may work.
        """
        try:
            return self._save(snapshot)
        except (OSError, SafetensorError) as error:
            self._log(f"no checkpoint at step {snapshot.step}: {error}")
            return None

    def _save(self, snapshot: Snapshot) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        stem = self.folder / f"step-{snapshot.step:09d}-{self._attempt}"
        weights = stem.with_name(f"{stem.name}.safetensors")
        draft = draft_name(weights)
        try:
            save_file({k: _on_cpu(v) for k, v in snapshot.tensors.items()}, draft)
            size, digest = sync_and_hash(draft)
            put_in_place(draft, weights)
        finally:
            draft.unlink(missing_ok=True)
        body = {
            "format": FORMAT,
            "step": snapshot.step,
            "file": weights.name,
            "size": size,
            "sha256": digest,
            "about": snapshot.about,
        }
        path = stem.with_name(f"{stem.name}.json")
        document = {"body": body, "sha256": _digest(body)}
        write_bytes(path, json.dumps(document, allow_nan=False).encode() + b"\n")
        for old in self._listed()[_KEPT:]:
            _remove(old)
        return path

    def newest(self) -> Path | None:
        """Return the JSON of the newest checkpoint, damaged or not, or None."""
        return next(iter(self._listed()), None)

    def usable(self) -> Iterator[tuple[Path, Snapshot]]:
        """Yield sound checkpoints, newest first; damaged ones are set aside and told."""
        for path in self._listed():
            try:
                yield path, read(path)
            except Unusable as reason:
                self.reject(path, str(reason))

    def reject(self, path: Path, reason: str) -> None:
        """Set a checkpoint aside that cannot be used, and say why."""
        self._log(f"checkpoint {path.name} cannot be used: {reason}")
        with suppress(OSError):
            path.rename(path.with_name(f"{path.name}.bad"))

    def _listed(self) -> list[Path]:
        found = self.folder.glob("step-*.json")
        return sorted(found, key=lambda path: path.name, reverse=True)


def read(path: Path) -> Snapshot:
    """Read a checkpoint by the path of its JSON. Raises Unusable if it is damaged."""
    try:
        document = json.loads(path.read_bytes())
        body = document["body"]
        if _digest(body) != document["sha256"] or body["format"] != FORMAT:
            msg = "its JSON has other content than was written"
            raise Unusable(msg)
        # The name comes from a file that others may have written: no way out of here.
        weights = path.with_name(Path(str(body["file"])).name)
        found = hash_file(weights)
        if found != (body["size"], body["sha256"]):
            msg = f"{weights.name} has other content than was written"
            raise Unusable(msg)
        tensors = load_file(weights)
        return Snapshot(int(body["step"]), tensors, body["about"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"it cannot be read ({error})"
        raise Unusable(msg) from error
    except SafetensorError as error:
        msg = f"its tensors cannot be read ({error})"
        raise Unusable(msg) from error


def discard(node: Path) -> None:
    """Remove the checkpoints of a node, which has published what they led to."""
    shutil.rmtree(node / CHECKPOINTS, ignore_errors=True)


def _remove(path: Path) -> None:
    # The JSON first: without it the tensors are of no meaning.
    for name in (path, path.with_suffix(".safetensors")):
        name.unlink(missing_ok=True)


def _digest(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, allow_nan=False)
    return sha256(text.encode()).hexdigest()


def _on_cpu(value: Tensor) -> Tensor:
    # A copy: safetensors refuses tensors that share memory, as tied weights do.
    return value.detach().to("cpu", copy=True).contiguous()
