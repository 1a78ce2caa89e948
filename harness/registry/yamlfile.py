"""Reading a YAML file with the line of everything in it, whatever the file holds.

YAML 1.1 surprises are left out: `1e-3` is a number, `yes` and `2020-01-01` are words,
`010` is ten, and `10%` is 0.1. Tags and several documents are refused; duplicate keys
are reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..schema.errors import Mistake, Mistakes, UserError
from .yamlwords import brief, plain_value

MAX_BYTES = 512 * 1024  # the largest plausible matrix is a few kB
MAX_DEPTH = 24
MAX_NODES = 100_000  # counted after aliases are expanded

Loc = tuple[str | int, ...]

_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)


@dataclass
class Document:
    """The plain data of a YAML file and the line (from 1) of each part of it."""

    path: Path
    data: Any = None
    lines: dict[Loc, int] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The path as people write it."""
        return shown(self.path)

    def line(self, loc: Sequence[str | int]) -> int:
        """Return the line of the deepest part of `loc` that the file has."""
        for end in range(len(loc), -1, -1):
            if (found := self.lines.get(tuple(loc[:end]))) is not None:
                return found
        return 1

    def mistake(self, loc: Sequence[str | int], message: str) -> None:
        """Note a mistake at `loc`."""
        self.mistakes.append(Mistake(self.name, self.line(loc), message))


def shown(path: Path) -> str:
    """Return `path` relative to the working folder where it lies below it."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def read_yaml(path: Path) -> Document:
    """Read a YAML file whose top level is a mapping.

    Raises UserError where the file cannot be read and Mistakes where it is not YAML or
    not a mapping. Mistakes that leave the rest readable are in the result's `mistakes`.
    """
    text = _text(path)
    document = Document(path)
    try:
        _Builder(document).build(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        found = text[error.position : error.position + 1]
        wrong = f"expected text, found the control character {found!a}"
        raise Mistakes([Mistake(document.name, line, wrong)]) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # ValueError, OverflowError: chr() of impossible escapes inside PyYAML
        mistake = Mistake(document.name, _line_of(error), _reason(error))
        raise Mistakes([*document.mistakes, mistake]) from None
    if not isinstance(document.data, dict):
        kind = {"list": "a list", "NoneType": "empty"}.get(
            type(document.data).__name__, "a single value"
        )
        message = (
            f"expected 'key: value' lines at the top level, but the file is {kind}"
        )
        raise Mistakes([*document.mistakes, Mistake(document.name, 1, message)])
    return document


def _text(path: Path) -> str:
    try:
        if path.is_dir():
            msg = f"{shown(path)} is a folder, expected a YAML file."
            raise UserError(msg)
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        msg = f"{shown(path)} does not exist: name a benchmark file with -b FILE."
        raise UserError(msg) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        msg = f"{shown(path)} cannot be read: {reason}."
        raise UserError(msg) from None
    if len(raw) > MAX_BYTES:
        msg = (
            f"{shown(path)} is larger than {MAX_BYTES // 1024} kB: not a YAML of ours."
        )
        raise UserError(msg)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        message = f"expected UTF-8 text, found byte 0x{raw[error.start]:02x}"
        raise Mistakes([Mistake(shown(path), line, message)]) from None


def _line_of(error: Exception) -> int:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return mark.line + 1 if mark is not None else 1


def _reason(error: Exception) -> str:
    problem = getattr(error, "problem", None) or "a part that is not YAML"
    context = getattr(error, "context", None)
    return f"invalid YAML: {problem}" + (f" ({context})" if context else "")


@dataclass(slots=True)
class _Node:
    line: int
    size: int
    value: Any = None
    items: list[_Node] | None = None
    entries: dict[str, tuple[int, _Node]] | None = None


class _Builder:
    """Builds data from parser events: no deep stack, unlike PyYAML's composer."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.anchors: dict[str, _Node | None] = {}
        self.nodes = 0

    def build(self, text: str) -> None:
        self.events: Iterator[Any] = iter(yaml.parse(text, Loader=yaml.SafeLoader))
        documents = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._fail(
                        event, "expected one document, found a second one ('---')"
                    )
                root = self._node(next(self.events), 0)
                self.document.data = self._plain(root, ())

    def _fail(self, event: Any, message: str) -> None:
        raise Mistakes(
            [*self.document.mistakes, self._mistake(event.start_mark.line + 1, message)]
        )

    def _mistake(self, line: int, message: str) -> Mistake:
        return Mistake(self.document.name, line, message)

    def _node(self, event: Any, depth: int) -> _Node:
        line = event.start_mark.line + 1
        if depth > MAX_DEPTH:
            self._fail(event, f"nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.AliasEvent):
            found = self.anchors.get(event.anchor)
            if found is None:
                self._fail(event, f"the alias *{event.anchor} has no finished anchor")
            assert found is not None
            self._count(event, found.size)
            return found
        if event.tag is not None and event.tag != "!":
            self._fail(
                event, f"YAML tags such as {brief(event.tag)} are not understood"
            )
        if event.anchor:
            self.anchors[event.anchor] = None
        self._count(event, 1)
        before = self.nodes
        node = _Node(line, 1)
        if isinstance(event, yaml.ScalarEvent):
            node.value = self._scalar(event, line)
        elif isinstance(event, yaml.SequenceStartEvent):
            node.items = self._items(depth)
        else:
            node.entries = self._entries(depth)
        node.size = 1 + self.nodes - before
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def _count(self, event: Any, size: int) -> None:
        self.nodes += size
        if self.nodes > MAX_NODES:
            self._fail(event, f"more than {MAX_NODES} values once aliases are expanded")

    def _items(self, depth: int) -> list[_Node]:
        items = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return items

    def _entries(self, depth: int) -> dict[str, tuple[int, _Node]]:
        entries: dict[str, tuple[int, _Node]] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            key: str | None
            if isinstance(event, yaml.ScalarEvent) and event.tag is None:
                key = event.value
                if _CONTROL.search(key):
                    self._note(line, f"the key {brief(key)} has control characters")
                    key = None
            else:
                self._node(event, depth + 1)
                self._note(
                    line, "expected a name before ':', found a list or a mapping"
                )
                key = None
            value = self._node(next(self.events), depth + 1)
            if key is None:
                continue
            if key in entries:
                self._note(
                    line,
                    f"duplicate key {brief(key)}: it stands on line {entries[key][0]} "
                    f"and again on line {line}; keep one",
                )
            else:
                entries[key] = (line, value)
        return entries

    def _note(self, line: int, message: str) -> None:
        self.document.mistakes.append(self._mistake(line, message))

    def _scalar(self, event: Any, line: int) -> Any:
        text: str = event.value
        if _CONTROL.search(text):
            self._note(line, f"{brief(text)} has control characters")
            return None
        if not event.implicit[0] or event.style in ("'", '"', "|", ">"):
            return text
        try:
            return plain_value(text)
        except ValueError as error:
            self._note(line, str(error))
            return None

    def _plain(self, node: _Node, loc: Loc) -> Any:
        self.document.lines.setdefault(loc, node.line)
        if node.items is not None:
            return [self._plain(item, (*loc, i)) for i, item in enumerate(node.items)]
        if node.entries is not None:
            data = {}
            for key, (line, value) in node.entries.items():
                self.document.lines[(*loc, key)] = line
                data[key] = self._plain(value, (*loc, key))
            return data
        return node.value
