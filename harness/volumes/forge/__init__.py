"""Made-up datasets in the formats of real ones, for rehearsals.

A few cases that a task's own reader reads: of its channels, dimensionality, structures or
classes, spacing and intensities, on the sides of its own split rule. Nothing can be learnt
from them.
"""

from __future__ import annotations

import json
from pathlib import Path

from ...schema.formats import GeneratedFormat, MedmnistFormat
from ...schema.identity import digest
from ...schema.splits import CountsSplit, ListedSplit
from ...schema.task import TaskSpec
from .cases import Case, Counts, choose, draw
from .writers import WRITERS

__all__ = ["forge"]

_VERSION = 2  # raised when other files would be written for the same task


def forge(name: str, spec: TaskSpec, root: Path, *, folds: int = 1) -> TaskSpec:
    """Write a few cases of a task into a folder of its own; return the task as it is there.

    root: the data root that the returned task is looked for below; folds: parts of a
    cross-validation that each need a case. What lies there already is kept. Generated
    tasks are made up anyway and stay as they are.
    """
    if isinstance(spec.format, GeneratedFormat):
        return spec
    counts = Counts.of(spec, folds)
    moved = _moved(name, spec)
    cases = choose(name, spec, counts)
    made = _adjusted(moved, cases, counts)
    mark = root / name / "made.json"
    stamp = digest([_VERSION, name, made.model_dump(mode="json"), folds])
    if mark.is_file() and json.loads(mark.read_text(encoding="utf-8")) == stamp:
        return made
    WRITERS[spec.format.kind](
        made, [(case, draw(name, spec, case)) for case in cases], root
    )
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(json.dumps(stamp), encoding="utf-8")
    return made


def _moved(name: str, spec: TaskSpec) -> TaskSpec:
    """Give the task a folder of its own: tasks that share a dataset must not collide."""
    place = "file" if isinstance(spec.format, MedmnistFormat) else "folder"
    old = getattr(spec.format, place)
    form = spec.format.model_copy(update={place: f"{name}/{old}"})
    return spec.model_copy(update={"format": form})


def _adjusted(spec: TaskSpec, cases: list[Case], counts: Counts) -> TaskSpec:
    """Return the task with as many cases as were made, and a split of their number."""
    changes: dict[str, object] = {"cases": len(cases), "allow_partial": True}
    rule = spec.split
    if isinstance(rule, CountsSplit):
        test = rule.test if rule.test == "publisher" else counts.test
        changes["split"] = rule.model_copy(
            update={"train": None, "val": counts.val, "test": test}
        )
    if isinstance(rule, ListedSplit):
        sides = {
            side: tuple(case.id for case in cases if case.side == side)
            for side in ("train", "val", "test")
        }
        changes["split"] = rule.model_copy(update={"file": None, **sides})
    return spec.model_copy(update=changes)
