"""Jobs grouped into arrays: one per request and set of parents, few calls of sbatch.

Jobs that ask for the same and wait for the same pretrainings share an array. Where that
would make more than CALLS arrays, those of several pretrainings share one; it starts
when all of these have ended, well or badly, and each of its elements then looks for its
own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from .records import Array
from .resources import Resources

if TYPE_CHECKING:
    from ..plan import Job

CALLS = 100  # of sbatch, beside those that MaxArraySize makes necessary
Element = tuple["Job", ...]  # the jobs that one element of an array runs in turn


@dataclass(frozen=True)
class Batch:
    """One array to submit.

    after: node keys that all its elements wait for; after_any: those that only some do.
    """

    array: Array
    elements: tuple[Element, ...]
    resources: Resources
    after: tuple[str, ...]
    after_any: tuple[str, ...] = ()

    @property
    def jobs(self) -> list[Job]:
        """All jobs, in their order."""
        return [job for element in self.elements for job in element]

    def first(self, count: int) -> Batch:
        """Return the array of the first `count` elements."""
        chunk = self.elements[:count]
        array = Array.of(self.array.name, chunk, self.resources)
        return replace(self, array=array, elements=chunk)


class _Group(NamedTuple):
    """Jobs of one level that may share arrays, as elements with one set of parents."""

    level: int
    profile: str
    resources: Resources
    after: tuple[str, ...]
    gates: tuple[str, ...]  # of `after`, what cells publish: never merged


def batches(
    jobs: Sequence[Job],
    resources: Callable[[Job], Resources],
    *,
    largest: int,
    calls: int = CALLS,
) -> Iterator[Batch]:
    """Yield arrays of at most `largest` elements, each after those that it waits for."""
    groups: dict[_Group, list[Job]] = {}
    maker = {key: job for job in jobs for key in job.nodes}
    levels = _levels(jobs, maker)
    for job in sorted(jobs, key=lambda job: levels[job.name]):
        after = tuple(sorted(job.after))
        gates = [key for key in after if key in maker and maker[key].kind == "cell"]
        key = _Group(levels[job.name], job.profile, resources(job), after, tuple(gates))
        groups.setdefault(key, []).append(job)
    bundled = {key: _bundles(group, key.resources) for key, group in groups.items()}
    numbers: dict[str, int] = {}
    for key, elements in _few(bundled, largest, calls):
        for start in range(0, len(elements), largest):
            chunk = elements[start : start + largest]
            number = numbers.setdefault(key.profile, 0)
            numbers[key.profile] += 1
            sets = {frozenset(job.after) for jobs in chunk for job in jobs}
            of_all = frozenset.intersection(*sets)
            yield Batch(
                Array.of(f"{key.profile}.{number}", chunk, key.resources),
                tuple(chunk),
                key.resources,
                after=tuple(sorted(of_all)),
                after_any=tuple(sorted(frozenset.union(*sets) - of_all)),
            )


def canary(jobs: Sequence[Job], resources: Callable[[Job], Resources]) -> list[Job]:
    """Return `jobs` so that all wait for one cell of their method, task and request.

    Those cells, with the pretrainings that they need, wait for nothing more. Another
    pretraining of a method waits for all of the method's.
    """
    first: dict[tuple[str, str, Resources], Job] = {}
    for job in jobs:
        if job.kind == "cell":
            first.setdefault((job.method, job.task, resources(job)), job)
    ahead = {job.name for job in first.values()}
    maker = {key: job for job in jobs for key in job.nodes}
    needed: set[str] = set()
    ways = [key for job in first.values() for key in job.after]
    while ways:
        key = ways.pop()
        if key not in needed:
            needed.add(key)
            ways += maker[key].after if key in maker else ()
    by_method: dict[str, list[str]] = {}
    for (method, _, _), job in first.items():
        by_method.setdefault(method, []).append(job.nodes[-1])
    found = []
    for job in jobs:
        gates: list[str] = []
        if job.kind == "cell" and job.name not in ahead:
            gates = [first[job.method, job.task, resources(job)].nodes[-1]]
        elif job.kind != "cell" and not needed.intersection(job.nodes):
            gates = by_method.get(job.method, [])
        found.append(replace(job, after=(*job.after, *gates)))
    return found


def within(batches: Sequence[Batch], room: int | None) -> tuple[list[Batch], list[str]]:
    """Return the arrays that fit and the names of the jobs that do not, in order."""
    if room is None:
        return list(batches), []
    kept: list[Batch] = []
    left: list[str] = []
    for batch in batches:
        fit = 0 if left else min(room, len(batch.elements))
        room -= fit
        if fit:
            kept.append(batch if fit == len(batch.elements) else batch.first(fit))
        left += [job.name for jobs in batch.elements[fit:] for job in jobs]
    return kept, left


def note_ids(batch: Batch, job_id: str, ids: dict[str, str]) -> None:
    """Note which element of a submitted array publishes each node."""
    plain = len(batch.elements) == 1
    for index, jobs in enumerate(batch.elements):
        element = job_id if plain else f"{job_id}_{index}"
        ids.update((key, element) for job in jobs for key in job.nodes)


def _levels(jobs: Sequence[Job], maker: Mapping[str, Job]) -> dict[str, int]:
    """Return how many jobs deep the parents of each job go; a circle counts as none."""
    levels: dict[str, int] = {}

    def level(job: Job) -> int:
        if job.name not in levels:
            levels[job.name] = 0  # ends a circle
            parents = [maker[key] for key in job.after if key in maker]
            levels[job.name] = max((level(each) + 1 for each in parents), default=0)
        return levels[job.name]

    for job in jobs:
        level(job)
    return levels


def _bundles(jobs: Sequence[Job], resources: Resources) -> list[Element]:
    size = resources.bundle
    return [tuple(jobs[i : i + size]) for i in range(0, len(jobs), size)]


def _few(
    groups: dict[_Group, list[Element]], largest: int, calls: int
) -> Iterator[tuple[_Group, list[Element]]]:
    """Yield groups, merged where there would be more than `calls` arrays."""
    waiting = {key: elements for key, elements in groups.items() if key.after}
    free = {key: elements for key, elements in groups.items() if not key.after}
    used = sum(ceil(len(elements) / largest) for elements in free.values())
    needed = used + sum(ceil(len(elements) / largest) for elements in waiting.values())
    if needed <= calls:
        yield from sorted(groups.items(), key=lambda item: item[0].level)
        return
    families: dict[_Group, list[list[Element]]] = {}
    for key, elements in waiting.items():
        families.setdefault(key._replace(after=key.gates), []).append(elements)
    total = sum(len(elements) for elements in waiting.values())
    # One array may be left over per family, which its share does not count.
    room = max(1, calls - used - len(families))
    merged = list(free.items())
    for family, members in families.items():
        count = sum(len(elements) for elements in members)
        fill = ceil(count / max(1, room * count // total))
        merged += [(family, part) for part in _filled(members, fill)]
    yield from sorted(merged, key=lambda item: item[0].level)


def _filled(members: Sequence[list[Element]], fill: int) -> Iterator[list[Element]]:
    """Yield runs of members, each closed once it has `fill` elements."""
    part: list[Element] = []
    for elements in members:
        part = [*part, *elements]
        if len(part) >= fill:
            yield part
            part = []
    if part:
        yield part
