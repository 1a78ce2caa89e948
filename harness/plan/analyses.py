"""The analyse nodes of a plan: of which cells, and with which keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..matrix.matrix import AnalysisEntry, Matrix
from ..schema.analyses.settings import Between
from ..schema.budget import LabelBudget
from ..schema.identity import digest, key_of_digests
from .cells import Analysis, Cell
from .identities import Parts

Pair = tuple[Cell, Cell, str]


def analyses(matrix: Matrix, parts: Parts, cells: Sequence[Cell]) -> list[Analysis]:
    """Return the analyses that a matrix asks for, each once, in the file's order."""
    tasks = {task.name: task for task in matrix.tasks}
    nothing = parts.seeds(None, None).digest
    found: dict[str, Analysis] = {}
    for entry in matrix.analyses:
        settings = digest(entry.settings.model_dump(mode="json"))
        for mine, against in _of_entry(entry, cells):
            first = mine[0]
            data = parts.evaluate_data(tasks[first.task], first.fold).digest
            draft = Analysis("", entry.name, entry.base, mine, against)
            key = key_of_digests(
                "analyse",
                f"analyses.{entry.base}",
                entry.settings.version,
                settings,
                data,
                nothing,
                draft.inputs,
            )
            found.setdefault(key, draft._replace(key=key))
    return list(found.values())


def _of_entry(
    entry: AnalysisEntry, cells: Sequence[Cell]
) -> Iterator[tuple[tuple[Cell, ...], str | None]]:
    chosen = [
        cell
        for cell in cells
        if entry.takes(cell.method, cell.task, cell.protocol, cell.budget)
    ]
    if entry.settings.once:
        chosen = _first_of_each_encoder(chosen)
    if not entry.settings.pairs:
        yield from (((cell,), None) for cell in chosen)
        return
    between: tuple[Between, ...] = getattr(entry.settings, "between", ())
    for one in between:
        for first, second, against in _pairs(chosen, one):
            yield (first, second), against


def _first_of_each_encoder(cells: Iterable[Cell]) -> list[Cell]:
    """Return one cell per task, fold and encoder that cells start from.

    An encoder without a pretraining is drawn from the seed of its cell.
    """
    first: dict[tuple[object, ...], Cell] = {}
    for cell in cells:
        start = cell.pretrain_key or cell.seed
        first.setdefault((cell.task, cell.fold, cell.method, start), cell)
    return list(first.values())


def _pairs(cells: Iterable[Cell], between: Between) -> Iterator[Pair]:
    """Yield cells that differ in one thing alone.

    Budgets: each with the largest; seeds: the first with each other; methods:
    each with each later one.
    """
    groups: dict[tuple[object, ...], list[Cell]] = {}
    for cell in cells:
        same = {
            "methods": cell.method, "budgets": cell.budget, "seeds": cell.seed,
            "task": cell.task, "protocol": cell.protocol, "fold": cell.fold,
        }  # fmt: skip
        del same[between]
        if between == "budgets":  # one pretraining: what differs is the adaptation
            same["pretraining"] = cell.pretraining_seed
        groups.setdefault(tuple(same.values()), []).append(cell)
    for group in groups.values():
        if between == "budgets":
            *fewer, most = sorted(group, key=_amount)
            yield from ((each, most, _budget(most)) for each in fewer)
        elif between == "seeds":
            yield from ((group[0], each, f"seed={each.seed}") for each in group[1:])
        else:
            for place, first in enumerate(group):
                for each in group[place + 1 :]:
                    if each.method != first.method:
                        yield first, each, f"method={each.method}"


def _amount(cell: Cell) -> tuple[int, float]:
    return LabelBudget.parse(cell.budget).order


def _budget(cell: Cell) -> str:
    return f"label_budget={cell.budget}"
