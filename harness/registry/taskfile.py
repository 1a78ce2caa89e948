"""Task and corpus files with what they take from others: `extends`, lists of a split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..schema.errors import Mistakes, UserError
from .explain import unknown
from .merging import merge
from .yamlfile import Document, read_yaml

_SIDES = ("train", "val", "test")


def read_task(path: Path) -> Document:
    """Read a task file with what it extends and the lists that its split names.

    Raises as read_extended does.
    """
    document = read_extended(path, "task")
    try:
        document.data = with_lists(document.data, path.parent)
    except UserError as error:
        document.mistake(("split", "file"), str(error))
    return document


def read_extended(path: Path, kind: str) -> Document:
    """Read a file; what it does not say is taken from the file that it extends.

    `extends: NAME` means NAME.yaml in the same folder; a file whose name starts with '_'
    is nothing of its own, only what a family has in common. Mappings are merged key by
    key. kind: what messages call it. Raises as read_yaml does, and Mistakes for a base
    that is not there.
    """
    document = read_yaml(path)
    seen = [path]
    while (base := document.data.pop("extends", None)) is not None:
        names = sorted(each.stem for each in path.parent.glob("*.yaml"))
        known = path.parent / f"{base}.yaml"
        if base not in names:
            document.mistake(("extends",), unknown(kind, str(base), names))
        elif known in seen:
            document.mistake(("extends",), f"extends: {path.stem} extends itself")
        if document.mistakes:
            raise Mistakes(document.mistakes)
        seen.append(known)
        document.data = merge(read_yaml(known).data, document.data)
    return document


def with_lists(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a task's data with the lists that its split names a file for.

    folder: what the file's path is relative to. Raises UserError where the file cannot
    be read or holds something else.
    """
    rule = data.get("split")
    if not isinstance(rule, Mapping) or not isinstance(rule.get("file"), str):
        return dict(data)
    found = read_yaml(folder / rule["file"])
    if found.mistakes:
        raise Mistakes(found.mistakes)
    if set(found.data) != set(_SIDES) or not all(
        isinstance(ids, list) for ids in found.data.values()
    ):
        msg = f"{found.name}: expected lists of case ids under train, val and test"
        raise UserError(msg)
    lists = {side: [str(each) for each in ids] for side, ids in found.data.items()}
    rest = {key: value for key, value in rule.items() if key != "file"}
    return {**data, "split": {**rest, **lists}}
