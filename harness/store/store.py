"""The results folder: what is wanted (specs), tried (attempts), published (manifests).

    nodes/<kk>/<key16>/spec.json
    nodes/<kk>/<key16>/attempts/<attempt>/{run.json, log.txt, files}
    done/<kk>/<key16>.json          the manifest; created exclusively, so the first wins
    provenance/<sha256>.json        lists of installed packages, shared by attempts
    snapshots/  cache/              derived, may be deleted
    submissions/                    of the backends

results/README.md states the format. Nothing is written before the first spec.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .. import __version__, provenance
from ..schema.errors import UserError
from ..schema.identity import KEY_DIGITS, digest, key_of_identity, short
from . import manifests, snapshot
from .attempt import Attempt, new_attempt_id
from .durable import (
    create_exclusively,
    write_bytes,
    writing,
)
from .index import Done, load
from .records import (
    FORMAT,
    Damaged,
    Manifest,
    checked_key,
    read_run,
    refuse_newer,
)

_FORMAT_FILE = "format.json"


class Problem(NamedTuple):
    """What `verify` found: in a node, by its key, or in a collected table, by its file."""

    key: str
    message: str


class Store:
    """A results folder. Safe to use from many processes and hosts at once."""

    def __init__(self, root: Path | str, *, heartbeat_s: float = 30.0) -> None:
        """Open `root`, which need not exist. UserError if a newer harness wrote it."""
        self.root = Path(root).absolute()
        self.heartbeat_s = heartbeat_s
        self._made = self._check_format()

    @property
    def submissions(self) -> Path:
        """The folder of the backends' submission records."""
        return self.root / "submissions"

    @property
    def cache(self) -> Path:
        """The folder of derived files, which may be deleted."""
        return self.root / "cache"

    def _check_format(self) -> bool:
        path = self.root / _FORMAT_FILE
        try:
            found = json.loads(path.read_bytes())["format"]
        except FileNotFoundError:
            return False
        except NotADirectoryError as error:
            msg = f"{self.root} is a file: choose another results folder with --results"
            raise UserError(msg) from error
        except (ValueError, KeyError, TypeError) as error:
            msg = f'{path} is damaged: restore its line {{"format": {FORMAT}}}'
            raise UserError(msg) from error
        except OSError as error:
            msg = f"the results folder {self.root} cannot be read ({error.strerror})"
            raise UserError(msg) from error
        refuse_newer(found, f"the results folder {self.root}")
        return True

    def create(self) -> None:
        """Make the folder and its format file if they are not there, or UserError."""
        if self._made:
            return
        with writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            document = {"format": FORMAT, "made_by": f"medssl-bench {__version__}"}
            text = json.dumps(document)
            create_exclusively(self.root / _FORMAT_FILE, text.encode() + b"\n")
        self._made = self._check_format()

    # -- specs ------------------------------------------------------------------------

    def node_dir(self, key: str) -> Path:
        """Return the folder of a node, given its key in full or its first 16 digits."""
        name = short(checked_key(key))
        return self.root / "nodes" / name[:2] / name

    def write_spec(self, spec: Mapping[str, Any]) -> None:
        """Write a node's spec.json: key, kind, identity, labels and where.

        Harmless if it is there already; labels and where are refreshed, since a folder
        of data may have moved. ValueError if the key is not that of the identity.
        """
        key = spec["key"]
        if key_of_identity(spec["identity"]) != key:
            msg = f"{key} is not the key of its identity"
            raise ValueError(msg)
        path = self.node_dir(key) / "spec.json"
        old = _read_json(path)
        if old is not None:
            if old.get("key", key) != key:
                msg = f"{key} and {old['key']} share the name {short(key)}"
                raise ValueError(msg)
            if old == spec:
                return
        self.create()
        data = _in_lines(spec).encode()
        with writing(self.root):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Not waited for: a plan writes a lost spec again, and may write 100,000.
            write_bytes(path, data, sync=False)

    def spec(self, key: str) -> dict[str, Any]:
        """Return a node's spec. UserError if it was never planned or is damaged."""
        path = self.node_dir(key) / "spec.json"
        spec = _read_json(path)
        if spec is None or (len(key) > KEY_DIGITS and spec.get("key") != key):
            state = "damaged" if path.exists() else "missing"
            msg = f"{path} is {state}: run the benchmark again, which writes it"
            raise UserError(msg)
        return spec

    # -- attempts ---------------------------------------------------------------------

    def begin(
        self,
        key: str,
        where: Mapping[str, Any] | None = None,
        *,
        made_by: Mapping[str, Any] | None = None,
    ) -> Attempt:
        """Register an attempt at a planned node and return it, running.

        where: backend, job id and the like, for people; made_by: provenance, by default
        `provenance.collect()`. UserError (no spec, read-only folder) or DiskFull.
        """
        spec = self.spec(key)
        self.create()
        made_by = dict(provenance.collect() if made_by is None else made_by)
        folder = self.node_dir(key) / "attempts" / new_attempt_id()
        with writing(self.root):
            self._keep_packages(made_by)
            folder.mkdir(parents=True)
            record = {
                "key": spec["key"],
                "kind": spec["kind"],
                "inputs": dict(spec["identity"].get("inputs", {})),
                "labels": dict(spec["labels"]),
                "where": dict(where or {}),
                "provenance": made_by,
            }
            try:
                return Attempt(self, spec["key"], folder, record)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise

    def _keep_packages(self, made_by: dict[str, Any]) -> None:
        # A list of packages has kilobytes, and 100,000 attempts share a few of them.
        packages = made_by.pop("packages", None)
        if packages is None:
            return
        made_by["packages_sha256"] = name = digest(packages)
        path = self.root / "provenance" / f"{name}.json"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            create_exclusively(path, json.dumps(packages, indent=1).encode() + b"\n")

    def attempts(self, key: str) -> list[dict[str, Any]]:
        """Return the records of all attempts at a node, oldest first.

        'done' is what the manifest names, whatever the record says: an attempt may be
        killed between publishing and noting it, and a damaged manifest replaced.
        """
        winner = manifests.winner(self.root, key)
        return [self.attempt(key, name, winner) for name in self.attempt_names(key)]

    def attempt_names(self, key: str) -> list[str]:
        """Return the ids of all attempts at a node, oldest first."""
        try:
            return sorted(os.listdir(self.node_dir(key) / "attempts"))  # noqa: PTH208
        except FileNotFoundError:
            return []

    def attempt(self, key: str, name: str, winner: str | None) -> dict[str, Any]:
        """Return the record of one attempt; winner: the attempt of the manifest."""
        record = read_run(self.node_dir(key) / "attempts" / name)
        if "key" not in record:
            spec = _read_json(self.node_dir(key) / "spec.json") or {}
            record = {"key": key, "labels": {}, **spec, **record}
        if name == winner:
            record["state"] = "done"
        elif record["state"] == "done" and winner:
            record["state"] = "duplicate"
        elif record["state"] == "done":
            record["state"] = "lost"
            record["message"] = "it was published, and its manifest is gone or damaged"
        return record

    def attempt_dir(self, record: Mapping[str, Any]) -> Path:
        """Return the folder of an attempt, given its record."""
        return self.node_dir(record["key"]) / "attempts" / str(record["attempt"])

    def nodes(self) -> Iterator[str]:
        """Yield the first 16 digits of the key of every node planned here."""
        root = self.root / "nodes"
        for shard in sorted(root.iterdir()) if root.exists() else ():
            yield from sorted(path.name for path in shard.iterdir())

    # -- published nodes --------------------------------------------------------------

    def done(self) -> Done:
        """Return everything that is published, through the index: key -> Manifest."""
        return load(self.root)

    def is_done(self, key: str) -> bool:
        """Say whether a node is published and its files are there, with their sizes."""
        return self.manifest(key) is not None

    def manifest(self, key: str) -> Manifest | None:
        """Return a published node's manifest, or None (`why_not` says why)."""
        try:
            return manifests.trusted(self.root, key)
        except Damaged:
            return None

    def remove(self, key: str, names: Iterable[str]) -> list[str]:
        """Remove published files that are not kept; the node goes on counting as done.

        Returns the names of those removed; its manifest says what they were.
        """
        return manifests.remove(self.root, key, names)

    def why_not(self, key: str) -> str | None:
        """Return None if a node is done, else the reason in words."""
        try:
            found = manifests.trusted(self.root, key)
        except Damaged as damage:
            return str(damage)
        return None if found is not None else "never published"

    def file(self, key: str, name: str) -> Path:
        """Return the path of a published file. UserError if there is none."""
        manifest = self.manifest(key)
        if manifest is None:
            reason = self.why_not(key)
            msg = f"node {short(key)} is not done ({reason}): run the benchmark again"
            raise UserError(msg)
        if name not in manifest.files:
            have = ", ".join(manifest.files)
            msg = f"node {short(key)} published no {name!r}, only {have}"
            raise UserError(msg)
        return manifests.attempt_dir(self.root, manifest) / name

    def verify(
        self,
        keys: Iterable[str] | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Problem]:
        """Read every published file again and compare sha256. Return all that is wrong.

        keys: some nodes, by default all that have a manifest, and the collected tables;
        progress(done, total).
        """
        problems = []
        if keys is None:
            done = self.done()
            keys = [*done.problems(), *done]
            problems = [Problem(*fault) for fault in snapshot.faults(self.root)]
        wanted = list(keys)
        for position, key in enumerate(wanted):
            problems += [
                Problem(key, text) for text in manifests.faults(self.root, key)
            ]
            if progress is not None:
                progress(position + 1, len(wanted))
        return problems

    def set_aside(self, key: str) -> bool:
        """Take a damaged node out of what is published; say whether it is out.

        Its manifest is renamed, never deleted, and the next run computes the node again.
        """
        with writing(self.root):
            return manifests.set_aside(self.root, key)


def _in_lines(document: Mapping[str, Any]) -> str:
    """Return JSON with one line per key: for people too, at the speed of no indent."""
    lines = [
        f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}"
        for key, value in document.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
