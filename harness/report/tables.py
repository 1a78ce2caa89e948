"""Build tables of means, and of differences between label budgets.

    build("dice", evidence) -> Table        then  render(table, "md") -> str

A cell that is not published is missing, and the table says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from ..analyse.scores import CaseMetric
from ..analyse.structures import organ_groups
from ..schema.errors import UserError, nearest
from ..schema.overlap import UPPER_BOUND
from . import captions
from .estimates import Found, Wanted, of_cases, of_predictions
from .evidence import Evidence
from .table import (
    LOWER_IS_BETTER,
    MEASURES,
    RANGES,
    BlockKey,
    Entry,
    Kind,
    Measure,
    Table,
    block_of,
    budget_order,
)


def build(metric: str, evidence: Evidence, *, kind: Kind = "scores") -> Table:
    """Return the table of a metric: means with intervals, or gaps between budgets.

    Raises UserError where there is nothing to show.
    """
    name = _known(metric)
    wanted = Wanted.of(name, evidence, kind)
    if not wanted.places:
        msg = "a gap needs two label budgets of one method, task and protocol"
        raise UserError(msg)
    if name == "dice" or name == "hd95":
        found = of_cases(name, wanted, evidence)
    else:
        found = of_predictions(name, wanted, evidence)
    entries = _entries(found, wanted, name, kind)
    if kind == "scores":
        entries = _close(entries, name, evidence)
    return _finished(name, kind, evidence, entries)


def gap(metric: Measure, evidence: Evidence) -> Table:
    """Return the differences between label budgets, as `build` does."""
    return build(metric, evidence, kind="gap")


def auc_per_class(evidence: Evidence) -> Table:
    """Return the AUC of each class against the rest: a block per task and class.

    Raises UserError where there is nothing to show.
    """
    wanted = Wanted.of("auc", evidence, "scores")
    tasks = evidence.scope.tasks
    most = max(len(facts.classes) for facts in tasks.values())
    entries: list[Entry] = []
    for number in range(most):
        found = of_predictions("auc", wanted, evidence, only=number)
        entries += [
            replace(entry, part=tasks[entry.task].classes[number])
            for entry in _entries(found, wanted, "auc", "scores")
            if number < len(tasks[entry.task].classes)
        ]
    order = {task: place for place, task in enumerate(_tasks(entries))}
    entries.sort(key=lambda entry: order[entry.task])
    return _finished("auc", "scores", evidence, tuple(entries))


def per_structure(metric: CaseMetric, evidence: Evidence) -> Table:
    """Return the means of each structure: a block per task and structure.

    Raises UserError where there is nothing to show.
    """
    return _per_part(metric, evidence, lambda names: {name: name for name in names})


def per_organ_group(metric: CaseMetric, evidence: Evidence) -> Table:
    """Return the means of groups of organs: a block per task and group (METHODS 4.7).

    Raises UserError where there is nothing to show.
    """
    return _per_part(metric, evidence, organ_groups)


def _per_part(
    metric: CaseMetric,
    evidence: Evidence,
    divide: Callable[[Sequence[str]], Mapping[str, str | tuple[str, ...]]],
) -> Table:
    """Return the means of what `divide` makes of the names of all structures."""
    wanted = Wanted.of(metric, evidence, "scores")
    tasks = evidence.scope.tasks
    shown = dict.fromkeys(wanted.groups[place[0]]["task"] for place in wanted.places)
    names = dict.fromkeys(name for task in shown for name in tasks[task].structures)
    entries: list[Entry] = []
    for name, part in divide(list(names)).items():
        members = {part} if isinstance(part, str) else {*part}
        found = of_cases(metric, wanted, evidence, structure=part)
        entries += [
            replace(entry, part=name)
            for entry in _entries(found, wanted, metric, "scores")
            if members & {*tasks[entry.task].structures}
        ]
    order = {task: place for place, task in enumerate(_tasks(entries))}
    entries.sort(key=lambda entry: order[entry.task])
    if not entries:
        msg = f"no task with {metric} says what its structures, or their groups, are"
        raise UserError(msg)
    return _finished(metric, "scores", evidence, tuple(entries))


def _finished(
    name: Measure, kind: Kind, evidence: Evidence, entries: tuple[Entry, ...]
) -> Table:
    """Return the table of some entries, with everything that has to be said of them."""
    options, scope = evidence.options, evidence.scope
    shared: Mapping[str, tuple[int, int]] = {}
    rule, drawn = None, ""
    if name == "dice" or name == "hd95":
        rule = evidence.policy(name)
    else:
        drawn = f"{options.draws:,} draws, seed {options.seed}"
        shared = {task: one.shared for task, one in evidence.drawn(name).items()}
    notes = captions.general(
        name, kind, evidence.layout(name), entries,
        options=options, policy=rule, drawn=drawn,
    )  # fmt: skip
    return Table(
        metric=name,
        kind=kind,
        entries=entries,
        level=options.level,
        notes=(*notes, *captions.of_tier(scope.cells), *scope.notes),
        block_notes=_block_notes(entries, evidence, name, shared),
        headings={
            task: captions.heading(task, scope.tasks[task]) for task in _tasks(entries)
        },
    )


def _known(metric: str) -> Measure:
    known = MEASURES
    if metric not in known:
        msg = (
            f"no table {metric!r}: expected one of {', '.join(known)}."
            f"{nearest(metric, known)}"
        )
        raise UserError(msg)
    return known[known.index(metric)]


def _entries(
    found: Found, wanted: Wanted, metric: Measure, kind: Kind
) -> tuple[Entry, ...]:
    """Order and clip entries, fill in the missing ones, and mark the best."""
    entries = [found.get(place) or wanted.blank(place) for place in wanted.places]
    low, high = RANGES[metric]
    if kind == "gap":
        low, high = low - high, high - low
    entries = [
        e if e.low is None or e.high is None
        else replace(e, low=max(e.low, low), high=min(e.high, high))
        for e in entries
    ]  # fmt: skip
    tasks = {task: place for place, task in enumerate(_tasks(entries))}
    entries.sort(key=lambda e: (tasks[e.task], budget_order(e.budget.split(" - ")[-1])))
    return tuple(_best(entries, metric) if kind == "scores" else entries)


def _best(entries: list[Entry], metric: Measure) -> list[Entry]:
    """Mark the best of each complete column, if its interval is shown."""
    columns: dict[tuple[str, ...], list[int]] = {}
    for place, e in enumerate(entries):
        if e.overlap != UPPER_BOUND:  # it is compared with no other
            columns.setdefault((*block_of(e), e.budget), []).append(place)
    marked = list(entries)
    for some in columns.values():
        if len(some) < 2 or any(entries[i].missing for i in some):
            continue
        means = [(entries[i].mean, i) for i in some]
        known = [(mean, i) for mean, i in means if mean is not None]
        if len(known) < len(some):
            continue
        pick = min if metric in LOWER_IS_BETTER else max
        top = pick(mean for mean, _ in known)
        for mean, i in known:
            if mean == top and entries[i].low is not None:
                marked[i] = replace(entries[i], best=True)
    return marked


def _close(
    entries: tuple[Entry, ...], metric: Measure, evidence: Evidence
) -> tuple[Entry, ...]:
    """Mark what the test of all pairs does not tell from the best of its column."""
    best = {(e.task, e.protocol, e.budget): e for e in entries if e.best}
    if not best:
        return entries
    apart = {
        (c.task, c.protocol, c.label_budget, *pair)
        for c in evidence.comparisons(metric, "all")
        if c.confirmed
        for pair in (
            (c.method, c.encoder, c.other_method, c.other_encoder),
            (c.other_method, c.other_encoder, c.method, c.encoder),
        )
    }
    marked = []
    for e in entries:
        top = best.get((e.task, e.protocol, e.budget))
        differs = top is None or (
            e.task, e.protocol, e.budget, top.method, top.encoder, e.method, e.encoder
        ) in apart  # fmt: skip
        apart_from_all = differs or e.overlap == UPPER_BOUND
        marked.append(e if e.best or apart_from_all else replace(e, close=True))
    return tuple(marked)


def _tasks(entries: Iterable[Entry]) -> list[str]:
    return list(dict.fromkeys(entry.task for entry in entries))


def _block_notes(
    entries: Sequence[Entry],
    evidence: Evidence,
    metric: Measure,
    shared: Mapping[str, tuple[int, int]],
) -> dict[BlockKey, tuple[str, ...]]:
    blocks: dict[BlockKey, list[Entry]] = {}
    for entry in entries:
        blocks.setdefault(block_of(entry), []).append(entry)
    scope = evidence.scope
    return {
        key: captions.of_block(
            key[0], scope.tasks[key[0]], some,
            metric=metric, available=scope.available, shared=shared,
        )
        for key, some in blocks.items()
    }  # fmt: skip
