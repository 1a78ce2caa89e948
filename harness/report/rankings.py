"""Sheets of ranks: which method comes first over tasks, and how sure that is."""

from __future__ import annotations

import numpy as np

from ..analyse.blocks import Blocks
from ..analyse.friedman import TASKS, CriticalDifference, critical_difference
from ..analyse.iqm import COMMENSURABLE, interquartile_means
from ..analyse.ranks import Ranking, ranking
from ..schema.errors import UserError
from ..schema.identity import short
from . import captions
from .evidence import Evidence
from .sheet import Column, Row, Sheet, Value
from .table import LOWER_IS_BETTER, NAMES, Measure, budget_order

_EVERY = "all label budgets"


def ranks(metric: Measure, evidence: Evidence) -> Sheet:
    """Return mean ranks over tasks: of all label budgets together, and of each.

    Raises UserError where nothing is published, cells are missing and the options do
    not allow that, or there is one method only.
    """
    blocks = evidence.blocks(metric)
    if len(blocks.methods) < 2:
        msg = "a ranking needs two methods or more"
        raise UserError(msg)
    level = evidence.options.level
    budgets = sorted({budget for _, _, budget in blocks.blocks}, key=budget_order)
    parts = {_EVERY: blocks} if len(budgets) > 1 else {}
    parts |= {budget: blocks.where(budget=budget) for budget in budgets}
    middle = _middles(metric, evidence)
    rows: list[Row] = []
    notes = [
        f"{NAMES[metric]}, {'lower' if metric in LOWER_IS_BETTER else 'higher'} is "
        "better. Rank 1 is best; mean over settings (task, protocol, label budget).",
        f"{level:.0%} intervals over {evidence.options.draws:,} draws of cases and seeds "
        f"(seed {evidence.options.seed}); the tasks are taken as given.",
        "First: share of draws in which a method has the best mean rank. Duels: share of "
        "other methods times settings that have a worse mean.",
    ]
    for label, part in parts.items():
        found = ranking(part, level=level)
        rows += _rows(label, found, evidence, part, middle)
        if found.tau is not None:
            notes.append(
                f"{label}: over {len(found.blocks):,} settings; "
                f"Kendall's tau of a draw's ranking with this one is {found.tau[0]:.2f} "
                f"on average, above {found.tau[1]:.2f} in 97.5% of draws."
            )
    notes += _over_tasks(blocks, evidence.options.alpha)
    if metric in COMMENSURABLE:
        notes.append(
            "IQM: mean of the middle half of all runs (task and seed) of a protocol; "
            "only where there is one protocol."
        )
    notes += [f"{text[:1].upper()}{text[1:]}." for text in blocks.left_out]
    notes += [*captions.of_tier(evidence.scope.cells), *evidence.scope.notes]
    columns = (
        Column("over", "over"),
        Column("method", "method"),
        Column("encoder", "encoder"),
        Column(
            "rank",
            f"mean rank [{level:.0%} interval]",
            digits=2,
            bounds=("low", "high"),
        ),
        Column("first", "first", digits=2),
        Column("duels", "duels", digits=2),
        *([Column("iqm", "IQM", bounds=("iqm_low", "iqm_high"))] if middle else []),
        Column("settings", "settings"),
        *(Column(name, name, digits=6, printed=False) for name in ("low", "high")),
        *(
            Column(name, name, digits=6, printed=False)
            for name in (("iqm_low", "iqm_high") if middle else ())
        ),
    )
    title = f"{NAMES[metric]}: methods ranked over tasks"
    return Sheet(
        f"rank-{metric}", title, columns, tuple(rows), tuple(notes), split="over"
    )


def _rows(
    label: str,
    found: Ranking,
    evidence: Evidence,
    blocks: Blocks,
    middle: dict[tuple[str, str, str], tuple[float, float, float]],
) -> list[Row]:
    rows = []
    others = max(len(found.methods) - 1, 1)
    wanted = set(blocks.blocks)
    cells = evidence.scope.cells
    cells = cells[cells.state == "done"]
    settings = zip(cells.task, cells.protocol, cells.label_budget, strict=True)
    cells = cells[np.fromiter((one in wanted for one in settings), bool, len(cells))]
    best = found.rank.min()
    for m in np.argsort(found.rank, kind="stable"):
        method, encoder = found.methods[m]
        own = cells[(cells.method == method) & (cells.encoder == encoder)]
        values: dict[str, Value] = {
            "over": label,
            "method": method,
            "encoder": encoder,
            "rank": float(found.rank[m]),
            "low": float(found.low[m]),
            "high": float(found.high[m]),
            "first": float(found.share[m, 0]),
            "duels": float((found.wins[m].sum() - 0.5) / others),
            "settings": len(found.blocks),
        }
        if (label, method, encoder) in middle:
            names = ("iqm", "iqm_low", "iqm_high")
            values |= dict(zip(names, middle[label, method, encoder], strict=True))
        keys = tuple(dict.fromkeys(map(short, own.evaluate_key)))
        rows.append(Row(values, keys, marked=bool(found.rank[m] == best)))
    return rows


def _middles(
    metric: Measure, evidence: Evidence
) -> dict[tuple[str, str, str], tuple[float, float, float]]:
    """Return the interquartile mean by label budget, method and encoder.

    Empty for a metric that cannot be averaged over tasks, and with several protocols.
    """
    if metric != "dice" or evidence.cells(metric).protocol.nunique() != 1:
        return {}
    options = evidence.options
    found = interquartile_means(
        evidence.stacked(metric), evidence.layout(metric), metric=metric,
        level=options.level, seed=options.seed, draws=options.draws,
    )  # fmt: skip
    return {
        (one.label_budget, one.method, one.encoder): (one.value, one.low, one.high)
        for one in found
    }


def _over_tasks(blocks: Blocks, alpha: float) -> list[str]:
    """Say whether methods differ over tasks, where there are enough of them."""
    if len(blocks.tasks) < TASKS or len(blocks.methods) < 3:
        return []
    found = critical_difference(blocks, alpha=alpha)
    text = (
        f"Friedman's test over {len(found.tasks)} tasks: p = {found.p:.3g} (F form), "
        f"{found.chi2_p:.3g} (chi-squared)."
    )
    if not found.reachable:
        return [
            text,
            f"With {len(found.tasks)} tasks no pair could differ at {alpha:g}.",
        ]
    return [text, _cliques(found)]


def _cliques(found: CriticalDifference) -> str:
    groups = [
        ", ".join(method for method, _ in found.methods[first : last + 1])
        for first, last in found.cliques
        if last > first
    ]
    if not groups:
        return "Every pair differs over tasks (Wilcoxon, Holm)."
    return f"Not told apart over tasks (Wilcoxon, Holm): {'; '.join(groups)}."
