"""Which cells a rehearsal runs: few, and every part of the matrix among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..matrix.matrix import Matrix, MethodEntry
from ..schema.task import TaskSpec
from .cells import Cell
from .plan import Plan


class Item(NamedTuple):
    """A part of a matrix that a rehearsal has to execute.

    kind: 'method', 'task', 'pairing': a protocol with a kind of encoder, a
    dimensionality and a number of channels; or 'analysis'.
    """

    kind: str
    name: str


def items(plan: Plan) -> list[Item]:
    """Return every part of a plan's matrix, each once, in the order of its file."""
    specs = _specs(plan.matrix)
    found = [item for cell in plan.cells for item in _items(specs[cell.task], cell)]
    found += [Item("analysis", each.name) for each in plan.analyses]
    return list(dict.fromkeys(found))


def items_of(matrix: Matrix, cell: Cell) -> tuple[Item, ...]:
    """Return the parts of a matrix that a cell executes."""
    return _items(_specs(matrix)[cell.task], cell)


def _specs(matrix: Matrix) -> dict[str, TaskSpec]:
    return {task.name: task.spec for task in matrix.tasks}


def _items(spec: TaskSpec, cell: Cell) -> tuple[Item, ...]:
    count = len(spec.channels)
    channels = "1 channel" if count == 1 else f"{count} channels"
    pairing = f"{cell.protocol} x {cell.encoder} x {spec.dims}-D x {channels}"
    return (
        Item("method", cell.method),
        Item("task", cell.task),
        Item("pairing", pairing),
    )


def cover(plan: Plan) -> list[Cell]:
    """Return cells of a plan that together execute every part of its matrix.

    Greedy: the cell with the most parts that are still missing comes next, the earliest
    in the file among equals. The cells of compared() come on top, and those that one
    analysis of each entry looks at.
    """
    specs = _specs(plan.matrix)
    first = _first(plan.cells)
    missing = {item for cell in first for item in _items(specs[cell.task], cell)}
    chosen: dict[str, Cell] = {}
    while missing:
        best = max(first, key=lambda c: len(missing & set(_items(specs[c.task], c))))
        chosen[best.evaluate_key] = best
        missing -= set(_items(specs[best.task], best))
    for cell in compared(plan):
        chosen.setdefault(cell.evaluate_key, cell)
    for cell in _looked_at(plan, chosen):
        chosen.setdefault(cell.evaluate_key, cell)
    order = {cell.evaluate_key: place for place, cell in enumerate(plan.cells)}
    return sorted(chosen.values(), key=lambda cell: order[cell.evaluate_key])


def _looked_at(plan: Plan, chosen: Mapping[str, Cell]) -> list[Cell]:
    """Return the cells of one analysis of each entry: the one with most that are chosen.

    chosen: cells by the key of their evaluation.
    """
    lacking: dict[str, list[Cell]] = {}
    for each in plan.analyses:
        new = [cell for cell in each.cells if cell.evaluate_key not in chosen]
        if each.name not in lacking or len(new) < len(lacking[each.name]):
            lacking[each.name] = new
    return [cell for cells in lacking.values() for cell in cells]


def _first(cells: Iterable[Cell]) -> list[Cell]:
    """Return one cell of each method, task and protocol: the first."""
    found: dict[tuple[str, str, str], Cell] = {}
    for cell in cells:
        found.setdefault((cell.method, cell.task, cell.protocol), cell)
    return list(found.values())


def compared(plan: Plan) -> list[Cell]:
    """Return cells that tables and figures can compare: blocks that have every metric.

    A block is one task with one protocol, two methods, and two label budgets and two
    seeds where the matrix has them. Tasks with most methods come first. Where two tasks
    share a structure, both have a block.
    """
    specs = _specs(plan.matrix)
    methods = {method.name: method for method in plan.matrix.methods}
    shared: dict[tuple[str, str], dict[str, None]] = {}
    for cell in _first(plan.cells):
        shared.setdefault((cell.task, cell.protocol), {})[cell.method] = None
    kept: dict[str, Cell] = {}
    seen: set[str] = set()
    wanted = _alike(shared, specs)
    for task, protocol in sorted(shared, key=lambda pair: -len(shared[pair])):
        if set(specs[task].metrics) <= seen and (task, protocol) not in wanted:
            continue
        seen |= set(specs[task].metrics)
        pair = _two(list(shared[task, protocol]), methods)
        block = _block(plan, task, protocol, pair)
        kept |= {cell.evaluate_key: cell for cell in block}
    return list(kept.values())


def _alike(
    pairs: Iterable[tuple[str, str]], specs: Mapping[str, TaskSpec]
) -> tuple[tuple[str, str], ...]:
    """Return two tasks that share a structure, of different modalities if there are.

    Tables compare the scores of such a structure (METHODS 4.8).
    """
    listed = [pair for pair in pairs if specs[pair[0]].structures]
    found = [
        (first, second)
        for place, first in enumerate(listed)
        for second in listed[place + 1 :]
        if first[1] == second[1]
        and set(specs[first[0]].structures) & set(specs[second[0]].structures)
    ]
    return max(
        found,
        key=lambda two: specs[two[0][0]].modality != specs[two[1][0]].modality,
        default=(),
    )


def _block(plan: Plan, task: str, protocol: str, methods: set[str]) -> list[Cell]:
    block = [
        cell
        for cell in plan.cells
        if (cell.task, cell.protocol) == (task, protocol) and cell.method in methods
    ]
    budgets = list(dict.fromkeys(cell.budget for cell in block))
    seeds = list(dict.fromkeys(cell.seed for cell in block))[:2]
    ends, fold = {budgets[0], budgets[-1]}, block[0].fold
    return [
        cell
        for cell in block
        if cell.budget in ends and cell.seed in seeds and cell.fold == fold
    ]


def _two(names: Sequence[str], methods: Mapping[str, MethodEntry]) -> set[str]:
    """Return a method without pretraining and one with, as far as there are such."""
    plain = [name for name in names if not methods[name].is_trained]
    others = [name for name in names if methods[name].is_trained]
    return set([*plain[:1], *others[:1], *plain[1:], *others[1:]][:2])
