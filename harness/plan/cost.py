"""What missing nodes will cost in hours, GPU-hours and disk.

From what like nodes have cost where any have run, the nearest first: same method, task
and protocol; same task and protocol; same kind of work. Where nothing of the kind has
run yet, from the number of optimiser steps and the figures stated below: wrong by a
factor, and better than nothing. How many nodes rest on those is always said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from ..schema.protocols import Finetune, LinearProbe
from ..schema.task import Tier
from .cells import Cell, Pretraining

if TYPE_CHECKING:
    from ..matrix.matrix import Matrix

SAMPLES = 8  # published nodes read per group: a mean good enough for a forecast
STRANGERS = 300  # nodes of other benchmarks in the same folder that are looked at
# Seconds of one optimiser step, chosen here: `tiny` and `small` as the quickstart took on
# one CPU core in November 2026, `demo` and `paper` guessed for one recent GPU.
STEP_S: Mapping[Tier, float] = {"tiny": 0.05, "small": 0.1, "demo": 0.3, "paper": 1.0}
# Seconds of one test case, and bytes that a node leaves, chosen here in the same way.
CASE_S: Mapping[Tier, float] = {"tiny": 0.1, "small": 0.5, "demo": 2.0, "paper": 10.0}
# Shares of them: an image is small beside a volume, a class needs one pass where a
# segmentation has many windows, and a probe trains on vectors that are already there.
IMAGE_STEP, PROBE_STEP = 0.1, 0.02
IMAGE_CASE, CLASSIFIED_CASE = 0.02, 0.1
NODE_BYTES: Mapping[Tier, int] = {
    "tiny": 10**6, "small": 10**7, "demo": 6 * 10**7, "paper": 25 * 10**7
}  # fmt: skip
ON_GPU: frozenset[Tier] = frozenset({"demo", "paper"})


class Likeness(NamedTuple):
    """What makes nodes alike. A pretraining has neither task nor protocol."""

    kind: str
    method: str
    task: str = ""
    protocol: str = ""

    def nearest_first(self) -> tuple[tuple[str, ...], ...]:
        """Return the groups to look for precedents in."""
        return (tuple(self), (self.kind, self.task, self.protocol), (self.kind,))


@dataclass(frozen=True)
class Cost:
    """Hours of work, GPU-hours and bytes of disk of `nodes` missing nodes.

    assumed: how many of the nodes rest on stated figures instead of on past runs.
    """

    nodes: int = 0
    assumed: int = 0
    hours: float = 0.0
    gpu_hours: float = 0.0
    bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.nodes + other.nodes,
            self.assumed + other.assumed,
            self.hours + other.hours,
            self.gpu_hours + other.gpu_hours,
            self.bytes + other.bytes,
        )

    def times(self, count: int) -> Cost:
        """Return the cost of `count` such nodes."""
        return Cost(
            self.nodes * count,
            self.assumed * count,
            self.hours * count,
            self.gpu_hours * count,
            self.bytes * count,
        )

    def to_json(self) -> dict[str, int | float]:
        """Return plain JSON."""
        return {
            "nodes": self.nodes,
            "nodes_assumed": self.assumed,
            "hours": round(self.hours, 4),
            "gpu_hours": round(self.gpu_hours, 4),
            "disk_bytes": self.bytes,
        }


@dataclass(frozen=True)
class Row:
    """What one phase of one method on one task will cost. task: '' in pretraining."""

    phase: str
    method: str
    task: str
    cost: Cost


class Past:
    """What published nodes have cost, by groups of likeness."""

    def __init__(self, published: Mapping[str, Any]) -> None:
        self._published = published
        self._found: dict[tuple[str, ...], list[tuple[float, float, int]]] = {}
        self._means: dict[Likeness, tuple[float, float, int] | None] = {}

    def look_at(self, nodes: Iterable[tuple[str, Likeness]]) -> None:
        """Note what nodes of the plan have cost, SAMPLES of each group."""
        for key, likeness in nodes:
            if not self._full(likeness) and key in self._published:
                self._add(likeness, self._published[key])

    def look_around(self, tier: str) -> None:
        """Note what nodes of other benchmarks have cost, if they were of this tier."""
        for key in islice(self._published, STRANGERS):
            manifest = self._published[key]
            labels = manifest.labels
            if str(labels.get("tier", tier)) != tier:
                continue
            columns = (
                ("method",) if manifest.kind == "pretrain" else Likeness._fields[1:]
            )
            words = (str(labels.get(each) or "") for each in columns)
            likeness = Likeness(str(manifest.kind), *words)
            if not self._full(likeness):
                self._add(likeness, manifest)

    def _full(self, likeness: Likeness) -> bool:
        return len(self._found.get(tuple(likeness), ())) >= SAMPLES

    def _add(self, likeness: Likeness, manifest: Any) -> None:
        wall, gpu = manifest.run.get("wall_s"), manifest.run.get("gpu_h")
        if not isinstance(wall, (int, float)):
            return
        hours = float(gpu) if isinstance(gpu, (int, float)) else 0.0
        size = sum(entry.size for entry in manifest.files.values())
        for group in likeness.nearest_first():
            self._found.setdefault(group, []).append((float(wall), hours, size))

    def mean(self, likeness: Likeness) -> tuple[float, float, int] | None:
        """Return the mean seconds, GPU-hours and bytes of what is nearest, or None."""
        if likeness not in self._means:
            self._means[likeness] = self._mean(likeness)
        return self._means[likeness]

    def _mean(self, likeness: Likeness) -> tuple[float, float, int] | None:
        for group in likeness.nearest_first():
            if found := self._found.get(group):
                seconds, hours, sizes = zip(*found, strict=True)
                n = len(found)
                return sum(seconds) / n, sum(hours) / n, round(sum(sizes) / n)
        return None


def nodes_of(
    cells: Sequence[Cell], pretrainings: Mapping[str, Pretraining]
) -> Iterator[tuple[str, Likeness]]:
    """Yield every node of a plan with its likeness."""
    for each in pretrainings.values():
        yield each.key, Likeness("pretrain", each.method)
    for cell in cells:
        yield cell.adapt_key, Likeness("adapt", cell.method, cell.task, cell.protocol)
        yield (
            cell.evaluate_key,
            Likeness("evaluate", cell.method, cell.task, cell.protocol),
        )


def table(
    past: Past, matrix: Matrix, missing: Iterable[tuple[str, Likeness]]
) -> list[Row]:
    """Return what missing nodes will cost, one row per phase, method and task."""
    rows: dict[tuple[str, str, str], Cost] = {}
    for likeness, count in Counter(likeness for _, likeness in missing).items():
        place = (likeness.kind, likeness.method, likeness.task)
        cost = _one(past, matrix, likeness).times(count)
        rows[place] = rows.get(place, Cost()) + cost
    return [Row(*place, cost) for place, cost in rows.items()]


def _one(past: Past, matrix: Matrix, likeness: Likeness) -> Cost:
    mean = past.mean(likeness)
    if mean is not None:
        seconds, gpu_hours, size = mean
        return Cost(1, 0, seconds / 3600, gpu_hours, size)
    hours = _stated_seconds(matrix, likeness) / 3600
    gpu_hours = hours if matrix.tier in ON_GPU else 0.0
    size = (
        NODE_BYTES[matrix.tier]
        if likeness.kind not in ("evaluate", "analyse")
        else 10**5
    )
    return Cost(1, 1, hours, gpu_hours, size)


def _stated_seconds(matrix: Matrix, likeness: Likeness) -> float:
    task = next((one.spec for one in matrix.tasks if one.name == likeness.task), None)
    flat = task is not None and task.dims == 2
    share = IMAGE_STEP if flat else 1.0
    if likeness.kind in ("evaluate", "analyse"):
        assert task is not None
        share = IMAGE_CASE if flat else 1.0
        share *= CLASSIFIED_CASE if task.kind == "classification" else 1.0
        return CASE_S[matrix.tier] * share * task.cases / 5  # a fifth is for the test
    if likeness.kind == "pretrain":
        method = matrix.stages[likeness.method]
        steps = method.settings.get("steps", 0)
    elif (method := matrix.stages[likeness.method]).role == "system":
        own = method.settings  # by the names that harness.api.System speaks of
        steps = own.get("steps", own.get("epochs", 0) * own.get("iterations", 1))
    else:
        settings = matrix.protocols[likeness.protocol].settings
        if isinstance(settings, Finetune):  # epochs of all cases: at most so many
            assert task is not None
            settings = settings.on(task.cases)
        if isinstance(settings, LinearProbe):
            share = PROBE_STEP
        steps = getattr(settings, "steps", 0)
    return STEP_S[matrix.tier] * share * float(steps)
