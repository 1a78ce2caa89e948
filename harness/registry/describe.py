"""What methods are and what entries resolve to, asked of a cached child process.

Planning never imports torch: the answer is cached as JSON under the hash of everything
that it depends on, so that on an unchanged checkout and matrix no child starts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..schema.budget import TaskKind
from ..schema.errors import UserError
from ..schema.identity import canonical_json
from ..schema.roles import Role
from ..schema.task import Tier
from .content import Content

_HARNESS = Path(__file__).resolve().parent.parent
_SOURCES = ("nn", "schema", "registry/child.py", "registry/explain.py",
            "registry/methods.py", "api")  # fmt: skip
_FORMAT = 3  # raised when the shape of the answer changes
_TIMEOUT = 300  # seconds; importing torch from a cold network disk can take a minute


@dataclass(frozen=True)
class Description:
    """What methods/<stem>.py says of itself."""

    stem: str
    title: str
    version: int
    encoders: tuple[str, ...]
    dims: tuple[int, ...]
    kinds: tuple[TaskKind, ...]
    role: Role
    settings: Mapping[str, str]  # name of each setting: its description


@dataclass(frozen=True)
class Request:
    """Settings to resolve: those of a method at a tier with overrides on top.

    cut: for a rehearsal: of the overrides only what the tier leaves open, and then these
    settings, which were meant for the tier; None: the overrides as they are.
    """

    stem: str
    tier: Tier
    overrides: Mapping[str, Any]
    cut: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what the child process is asked."""
        asked = {"stem": self.stem, "tier": self.tier, "overrides": self.overrides}
        return asked if self.cut is None else {**asked, "cut": self.cut}


@dataclass(frozen=True)
class File:
    """A file that a method is asked to read: with these settings and input channels."""

    stem: str
    settings: Mapping[str, Any]
    channels: int
    path: str
    sha256: str


@dataclass(frozen=True)
class Resolved:
    """Resolved settings (JSON), or what is wrong: (location in overrides, sentence)."""

    settings: Mapping[str, Any] | None
    errors: tuple[tuple[tuple[str | int, ...], str], ...]


@dataclass(frozen=True)
class Answer:
    """Descriptions by stem, sentences of files that fail, resolved requests.

    faults: of each file of weights what is wrong with it, or None.
    """

    methods: Mapping[str, Description]
    failures: Mapping[str, str]
    resolved: tuple[Resolved, ...]
    faults: tuple[str | None, ...] = ()


def describe(
    content: Content,
    stems: Sequence[str],
    requests: Sequence[Request],
    files: Sequence[File] = (),
) -> Answer:
    """Describe methods, resolve entries, read files: from the cache or through a child.

    Raises UserError if the child cannot run at all; a method file that fails is an
    entry of `failures`, and its requests resolve to nothing.
    """
    asked = {
        "roots": [str(root) for root in content.roots],
        "stems": sorted(
            {*stems, *(one.stem for one in requests), *(one.stem for one in files)}
        ),
        "entries": [each.to_json() for each in requests],
        "files": [asdict(each) for each in files],
    }
    cached = cache_folder() / "methods" / f"{_digest(content, asked)}.json"
    answer = _read(cached)
    if answer is None:
        answer = _ask_child(asked)
        if not any("failure" in each for each in answer["methods"].values()):
            # (a failed import may be mended outside these sources)
            _write(cached, answer)
    return _parsed(answer)


def cache_folder() -> Path:
    """Return the cache folder: MEDSSL_CACHE, or medssl-bench in XDG_CACHE_HOME."""
    if own := os.environ.get("MEDSSL_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "medssl-bench"


def _digest(content: Content, asked: Mapping[str, Any]) -> str:
    total = sha256()
    for path in _files(content):
        total.update(f"{path.name}\0".encode())
        total.update(sha256(path.read_bytes()).digest())
    about = f"{_FORMAT}|{sys.version}|{sys.prefix}|{version('pydantic')}|"
    total.update((about + canonical_json(asked)).encode())
    return total.hexdigest()


def _files(content: Content) -> Iterator[Path]:
    for folder in [root / "methods" for root in content.roots]:
        yield from sorted(folder.rglob("*.py"))
    for name in _SOURCES:
        path = _HARNESS / name
        yield from [path] if path.suffix else sorted(path.rglob("*.py"))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        answer = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) and "methods" in answer else None


def _write(path: Path, answer: Mapping[str, Any]) -> None:
    """Write the cache whole or not at all; failing to is no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".draft-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(answer, file)
        Path(name).replace(path)
    except OSError:
        return


def _ask_child(asked: Mapping[str, Any]) -> dict[str, Any]:
    paths = [str(_HARNESS.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with tempfile.TemporaryDirectory(prefix="harness-describe-") as folder:
        out = Path(folder) / "answer.json"
        command = [sys.executable, "-P", "-m", "harness.registry.child", str(out)]
        try:
            done = subprocess.run(
                command,
                input=json.dumps(asked),
                capture_output=True,
                text=True,
                env=environment,
                timeout=_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            msg = f"describing the methods took over {_TIMEOUT} s: a method file hangs."
            raise UserError(msg) from None
        answer = _read(out)
    if done.returncode != 0 or answer is None:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        msg = f"the process that describes the methods failed: {last}."
        raise UserError(msg)
    return answer


def _parsed(answer: Mapping[str, Any]) -> Answer:
    failures = {k: v["failure"] for k, v in answer["methods"].items() if "failure" in v}
    methods = {
        stem: Description(
            stem=stem,
            title=each["title"],
            version=each["version"],
            encoders=tuple(each["encoders"]),
            dims=tuple(each["dims"]),
            kinds=tuple(each["kinds"]),
            role=each["role"],
            settings=each["settings"],
        )
        for stem, each in answer["methods"].items()
        if stem not in failures
    }
    resolved = tuple(
        Resolved(
            entry.get("settings"),
            tuple((tuple(loc), sentence) for loc, sentence in entry.get("errors", ())),
        )
        for entry in answer["entries"]
    )
    return Answer(methods, failures, resolved, tuple(answer["files"]))
