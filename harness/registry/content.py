"""Content: the folders methods/, tasks/ and corpora/ near a benchmark file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from ..schema.corpus import CorpusSpec
from ..schema.errors import Mistakes, UserError
from ..schema.formats import GeneratedFormat
from ..schema.task import TaskSpec
from .explain import unknown, validated
from .merging import merge
from .modules import load_module
from .taskfile import read_extended, read_task
from .yamlfile import Document, shown

ContentKind = Literal["methods", "tasks", "corpora"]
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
SINGULAR = {"methods": "method", "tasks": "task", "corpora": "corpus"}
_SUFFIXES = {"methods": (".py", ".yaml"), "tasks": (".yaml",), "corpora": (".yaml",)}


@dataclass(frozen=True)
class Content:
    """Roots with methods/, tasks/ and corpora/; the first is the home of results."""

    roots: tuple[Path, ...]

    @cached_property
    def _files(self) -> dict[str, dict[str, Path]]:
        return {kind: self._scan(kind) for kind in _SUFFIXES}

    def _scan(self, kind: str) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for root in self.roots:
            folder = root / kind
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                usable = path.suffix in _SUFFIXES[kind] and SAFE_NAME.match(path.stem)
                if not usable or path.stem.startswith("_"):
                    continue
                if path.stem in found:
                    msg = (
                        f"{SINGULAR[kind]} {path.stem!r} is defined twice: in "
                        f"{shown(found[path.stem])} and in {shown(path)}; rename one."
                    )
                    raise UserError(msg)
                found[path.stem] = path
        return found

    def names(self, kind: ContentKind) -> tuple[str, ...]:
        """Return the names of a kind, sorted. Raises UserError on a clash."""
        return tuple(sorted(self._files[kind]))

    def file(self, kind: ContentKind, name: str) -> Path:
        """Return the file of a name. Raises UserError with the nearest name."""
        try:
            return self._files[kind][name]
        except KeyError:
            raise UserError(unknown(SINGULAR[kind], name, self.names(kind))) from None

    def task_document(self, name: str) -> Document:
        """Return tasks/<name>.yaml as data with lines, what it extends filled in."""
        return read_task(self.file("tasks", name))

    def task(self, name: str, overrides: Mapping[str, Any] | None = None) -> TaskSpec:
        """Return the specification of a task with overrides merged in, key by key.

        Raises UserError for an unknown name and Mistakes for what the file gets wrong.
        """
        document = self.task_document(name)
        if overrides:
            document.data = merge(document.data, overrides)
        spec = validated(TaskSpec, document)
        if spec is None or document.mistakes:
            raise Mistakes(document.mistakes)
        return spec

    def corpus(self, name: str) -> CorpusSpec:
        """Return the specification of a corpus. Raises as `task` does."""
        document = read_extended(self.file("corpora", name), "corpus")
        spec = validated(CorpusSpec, document)
        if spec is not None:
            for index, source in enumerate(spec.sources):
                if source.task and source.task not in self.names("tasks"):
                    sentence = unknown("task", source.task, self.names("tasks"))
                    document.mistake(("sources", index, "task"), sentence)
        if spec is None or document.mistakes:
            raise Mistakes(document.mistakes)
        return spec

    def generator(self, spec: TaskSpec) -> ModuleType | None:
        """Return the module that makes the cases of a generated task, else None."""
        if not isinstance(spec.format, GeneratedFormat):
            return None
        return load_module(self.roots, "tasks", spec.format.generator)


def find_content(benchmark: Path, extra: Sequence[Path] = ()) -> Content:
    """Return the content roots of a benchmark file.

    They are the nearest folder, from the file's own upwards, that has both methods/ and
    tasks/; folders passed on the way that have one of methods/, tasks/ and corpora/;
    and `extra`. Raises UserError if there are none.
    """
    start = benchmark.absolute().parent
    on_the_way: list[Path] = []
    home: Path | None = None
    for folder in (start, *start.parents):
        present = [kind for kind in _SUFFIXES if (folder / kind).is_dir()]
        if {"methods", "tasks"} <= set(present):
            home = folder
            break
        if present:
            on_the_way.append(folder)
    if home is None:
        on_the_way = []  # nothing says that a stray folder named 'tasks' is ours
    roots = [
        *([home] if home else []),
        *on_the_way,
        *(path.absolute() for path in extra),
    ]
    for path in extra:
        if not path.is_dir():
            msg = f"the content folder {shown(path)} does not exist."
            raise UserError(msg)
    if not roots:
        msg = (
            f"no folder with methods/ and tasks/ at {shown(start)} or above it: "
            "put the benchmark file beside them, or name their folder under 'content:'."
        )
        raise UserError(msg)
    unique = dict.fromkeys(root.resolve() for root in roots)
    return Content(tuple(unique))
