"""The `claims:` of a benchmark file: read, and checked against its matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from ..registry.explain import explain, unknown
from ..registry.yamlfile import Document, Loc, read_yaml
from ..registry.yamlwords import brief
from ..schema.budget import LabelBudget
from ..schema.claims import METRICS, ClaimEntry, Side, StatedClaim, parse_claim
from ..schema.errors import Mistakes, UserError
from ..schema.task import Closed
from .matrix import TaskEntry
from .model import MAX_LIST, BenchmarkFile


class ClaimFile(Closed):
    """The top level of a file of claims."""

    title: str = ""
    claims: list[Any] = Field(default_factory=list, max_length=MAX_LIST)


@dataclass(frozen=True)
class Names:
    """What claims may name: methods, tasks, protocols and label budgets of a matrix."""

    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    protocols: tuple[str, ...]
    budgets: frozenset[str]

    @classmethod
    def of(cls, file: BenchmarkFile, tasks: Sequence[TaskEntry]) -> Names:
        """Return the names of a file, those of entries with mistakes included."""
        return cls(
            tuple(file.methods),
            tuple(file.tasks),
            tuple(file.protocols),
            frozenset(str(budget) for task in tasks for budget in task.budgets),
        )


def read_claims(
    document: Document, items: Sequence[Any], names: Names
) -> tuple[StatedClaim, ...]:
    """Return the claims that are right; what is wrong is noted where it stands.

    An item is a claim, a ClaimEntry, or `{file: PATH}`: a file of claims, relative to
    the one that names it.
    """
    found: list[StatedClaim] = []
    for index, item in enumerate(items):
        loc: Loc = ("claims", index)
        if isinstance(item, Mapping) and set(item) == {"file"}:
            found += _from_file(document, loc, item["file"], names)
        else:
            stated = _stated(document, loc, item, names)
            if stated is not None:
                found.append(stated)
    return tuple(found)


def read_claim_file(path: Path) -> tuple[Document, list[Any]]:
    """Return a file of claims and its items; mistakes are in the document.

    Raises UserError where it cannot be read.
    """
    document = read_yaml(path)
    try:
        return document, list(ClaimFile.model_validate(document.data).claims)
    except ValidationError as error:
        for loc, sentence in explain(error, ClaimFile, document.data):
            document.mistake(loc, sentence)
        return document, []


def _from_file(
    document: Document, loc: Loc, name: Any, names: Names
) -> list[StatedClaim]:
    if not isinstance(name, str):
        document.mistake(
            loc, f"claims: expected a path after 'file', not {brief(name)}"
        )
        return []
    try:
        inner, items = read_claim_file(document.path.parent / name)
    except Mistakes as error:
        document.mistakes.extend(error.mistakes)
        return []
    except UserError as error:
        document.mistake((*loc, "file"), f"claims: {error}")
        return []
    found = []
    for index, item in enumerate(items):
        stated = _stated(inner, ("claims", index), item, names)
        if stated is not None:
            found.append(stated)
    document.mistakes.extend(inner.mistakes)
    return found


def _stated(
    document: Document, loc: Loc, item: Any, names: Names
) -> StatedClaim | None:
    data = {"claim": item} if isinstance(item, str) else item
    if not isinstance(data, Mapping):
        document.mistake(loc, f"claims: expected a claim, not {brief(item)}")
        return None
    try:
        entry = ClaimEntry.model_validate(data)
        claim = parse_claim(entry.claim)
    except ValidationError as error:
        for inner, sentence in explain(error, ClaimEntry, data):
            document.mistake((*loc, *inner), sentence)
        return None
    except ValueError as error:
        document.mistake((*loc, "claim"), str(error))
        return None
    faults = [fault for side in claim.sides for fault in _faults(side, names)]
    if isinstance(entry.published, dict):
        faults += [
            unknown("method", name, names.methods)
            for name in entry.published
            if name not in names.methods
        ]
    for fault in dict.fromkeys(faults):
        document.mistake((*loc, "claim"), f"claim {brief(claim.text, 80)}: {fault}")
    where = f"{document.name}:{document.line((*loc, 'claim'))}"
    return None if faults else StatedClaim(claim, entry, where)


def _faults(side: Side, names: Names) -> list[str]:
    """Say which names of a side the matrix does not have."""
    found = [
        unknown("method", name, names.methods)
        for name in side.names
        if name != "*" and name not in names.methods
    ]
    found += [
        unknown("metric or task", item.name, (*METRICS, *names.tasks))
        for item in side.on
        if item.name not in (*METRICS, *names.tasks)
    ]
    found += [
        f"{item.name!r} is a task: brackets belong to a metric, as dice[liver]"
        for item in side.on
        if item.name in names.tasks and item.part is not None
    ]
    found += [
        unknown("protocol", name, names.protocols)
        for name in side.protocols
        if name not in names.protocols
    ]
    known = sorted(names.budgets, key=lambda text: LabelBudget.parse(text).order)
    found += [
        f"the matrix has no label budget {budget}: expected {' or '.join(known)}"
        for budget in side.at
        if budget not in names.budgets
    ]
    return found
