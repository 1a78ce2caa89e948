"""A matrix for a rehearsal: its datasets replaced, its factors cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from ..registry.weights import Weights
from ..schema.budget import LabelBudget
from ..schema.task import TaskSpec
from .matrix import Matrix, MethodEntry, TaskEntry

SEEDS = 2  # two, so that spread over seeds is computed and drawn
SHOTS = 2


def rehearsed(
    matrix: Matrix,
    data: Path,
    specs: Mapping[str, TaskSpec],
    weights: Callable[[MethodEntry], Weights],
) -> Matrix:
    """Return the matrix with other datasets, two seeds, one fold and small budgets.

    data: the folder that holds the datasets; specs: the specification of each task as
    it is there; weights: makes the file of an imported encoder. A budget of many cases
    becomes one of a few; fractions stay.
    """
    pretraining = matrix.pretraining_seeds
    return replace(
        matrix,
        methods=tuple(_method(method, weights) for method in matrix.methods),
        data_roots=(data,),
        tasks=tuple(_task(task, specs[task.name]) for task in matrix.tasks),
        corpus_tasks={name: specs[name] for name in matrix.corpus_tasks},
        seeds=matrix.seeds[:SEEDS],
        pretraining_seeds=pretraining if pretraining == "paired" else pretraining[:1],
        chosen_folds=matrix.chosen_folds[:1],
    )


def _method(
    method: MethodEntry, weights: Callable[[MethodEntry], Weights]
) -> MethodEntry:
    """Return a method with made-up weights wherever it reads a file."""
    return replace(
        method,
        weights=None if method.weights is None else weights(method),
        init=None if method.init is None else _method(method.init, weights),
        members=tuple(_method(each, weights) for each in method.members),
    )


def _task(task: TaskEntry, spec: TaskSpec) -> TaskEntry:
    return replace(task, spec=spec, budgets=small_budgets(task.budgets, spec.classes))


def small_budgets(
    budgets: Iterable[LabelBudget], classes: int
) -> tuple[LabelBudget, ...]:
    """Return budgets that a few cases can fill: of shots and totals at most two each.

    >>> of = ("n=50", "n=500", "n=5000", "50%")
    >>> [str(b) for b in small_budgets(map(LabelBudget.parse, of), 4)]
    ['n=4', 'n=8', '50%']
    """
    sizes = {"shot": (1, SHOTS), "total": (classes, 2 * classes)}
    least: dict[str, float] = {}
    small: dict[LabelBudget, None] = {}
    for budget in budgets:
        if budget.kind == "fraction":
            small[budget] = None
            continue
        first = least.setdefault(budget.kind, budget.amount)
        amount = sizes[budget.kind][budget.amount > first]
        small[replace(budget, amount=min(budget.amount, amount))] = None
    return tuple(small)
