"""What missing nodes will cost in hours and disk, from what similar nodes have cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from .cells import Cell, Pretraining

SAMPLES = 8  # published nodes read per group: a mean good enough for a forecast
STRANGERS = (
    300  # nodes of other benchmarks in the same results folder that are looked at
)
Group = tuple[str, ...]


@dataclass(frozen=True)
class Cost:
    """Hours of work and bytes of disk of missing nodes; `unknown` have no precedent."""

    nodes: int
    unknown: int
    hours: float
    bytes: int

    def to_json(self) -> dict[str, int | float | None]:
        """Return plain JSON; hours and bytes are null where nothing is known."""
        known = self.nodes > self.unknown or not self.nodes
        return {
            "nodes": self.nodes,
            "nodes_without_precedent": self.unknown,
            "hours": round(self.hours, 4) if known else None,
            "disk_bytes": self.bytes if known else None,
        }


class _Past:
    """Durations and sizes of published nodes by group."""

    def __init__(self) -> None:
        self.seconds: dict[Group, list[float]] = {}
        self.sizes: dict[Group, list[int]] = {}

    def full(self, group: Group) -> bool:
        return len(self.seconds.get(group, ())) >= SAMPLES

    def add(self, group: Group, manifest: Any) -> None:
        wall = manifest.run.get("wall_s")
        if isinstance(wall, (int, float)):
            size = sum(entry.size for entry in manifest.files.values())
            # One group of exact likeness and one for all nodes of the kind.
            for each in (group, group[:1]):
                self.seconds.setdefault(each, []).append(float(wall))
                self.sizes.setdefault(each, []).append(size)

    def mean(self, group: Group) -> tuple[float, float] | None:
        for each in (group, group[:1]):
            if seconds := self.seconds.get(each):
                sizes = self.sizes[each]
                return sum(seconds) / len(seconds), sum(sizes) / len(sizes)
        return None


def estimate(
    published: Mapping[str, Any],
    cells: Sequence[Cell],
    pretrainings: Mapping[str, Pretraining],
    missing: Iterable[tuple[str, Group]],
) -> Cost:
    """Return the cost of missing nodes.

    published: {key: manifest with run['wall_s'] and files}; missing: (key, group).
    """
    past = _Past()
    for key, group in _own(cells, pretrainings):
        if not past.full(group) and key in published:
            past.add(group, published[key])
    for key in islice(published, STRANGERS):
        manifest = published[key]
        labels = manifest.labels
        columns = ["method"] if manifest.kind == "pretrain" else ["task", "protocol"]
        likeness = (manifest.kind, *(str(labels.get(each)) for each in columns))
        if not past.full(likeness):
            past.add(likeness, manifest)
    return _total(past, missing)


def _own(
    cells: Sequence[Cell], pretrainings: Mapping[str, Pretraining]
) -> Iterable[tuple[str, Group]]:
    for each in pretrainings.values():
        yield each.key, ("pretrain", each.method)
    for cell in cells:
        yield cell.adapt_key, ("adapt", cell.task, cell.protocol)
        yield cell.evaluate_key, ("evaluate", cell.task, cell.protocol)


def _total(past: _Past, missing: Iterable[tuple[str, Group]]) -> Cost:
    nodes = unknown = 0
    seconds = size = 0.0
    means: dict[Group, tuple[float, float] | None] = {}
    for _, group in missing:
        if group not in means:
            means[group] = past.mean(group)
        nodes += 1
        mean = means[group]
        if mean is None:
            unknown += 1
        else:
            seconds += mean[0]
            size += mean[1]
    return Cost(nodes, unknown, seconds / 3600, round(size))
