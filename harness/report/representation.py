"""What the tables of analyses of networks have in common."""

from __future__ import annotations

from typing import Protocol

from ..analyse.estimate import Estimate
from ..analyse.scores import is_pretrained
from . import captions
from .evidence import Evidence
from .sheet import Column, Value

# Columns that stand in CSV and JSON alone.
LABELS = tuple(
    Column(name, name, printed=False)
    for name in ("analysis", "task", "protocol", "method", "encoder")
)
# The difference from the baseline, after a method's own number.
BASELINE = (
    Column("difference", "difference", signed=True, missing="-",
           bounds=("difference_low", "difference_high")),
    Column("other", "from", missing="-"),
    Column("difference_low", "difference_low", printed=False),
    Column("difference_high", "difference_high", printed=False),
)  # fmt: skip


class Placed(Protocol):
    """Something measured by an analysis on a task with a protocol."""

    @property
    def analysis(self) -> str: ...  # noqa: D102
    @property
    def task(self) -> str: ...  # noqa: D102
    @property
    def protocol(self) -> str: ...  # noqa: D102


def block(one: Placed, evidence: Evidence) -> str:
    """Return the heading of a part of a table.

    The entry of the benchmark file is named where several are of one kind.
    """
    analyses = evidence.scope.analyses
    kinds = analyses[analyses.analysis == one.analysis].kind
    same = analyses[analyses.kind.isin(kinds)].analysis.nunique()
    named = f"{one.analysis}: " if same > 1 else ""
    heading = captions.heading(one.task, evidence.scope.tasks[one.task])
    return f"{named}{heading}, {one.protocol}"


def in_file_order(evidence: Evidence) -> tuple[list[str], list[str]]:
    """Return tasks and methods in the order of the benchmark file."""
    cells = evidence.scope.cells
    return list(dict.fromkeys(cells.task)), list(dict.fromkeys(cells.method))


def estimated(name: str, found: Estimate | None, joint: str = "_") -> dict[str, Value]:
    """Return an estimate as values of a row: NAME, NAME_low and NAME_high."""
    if found is None:
        return {}
    ends = {f"{name}{joint}low": found.low, f"{name}{joint}high": found.high}
    return {name: found.value, **ends}


def leaves_out_0(found: Estimate | None) -> bool:
    """Tell whether an estimate has an interval, on one side of 0."""
    if found is None or found.low is None or found.high is None:
        return False
    return found.low > 0 or found.high < 0


def about_cells(evidence: Evidence) -> tuple[str, ...]:
    """Return what has to be said of the cells under every table of analyses."""
    cells = evidence.scope.cells
    single = cells.pretraining_seed.nunique() == 1
    return (
        *((captions.ONE_PRETRAINING,) if single else ()),
        *captions.of_tier(cells),
        *evidence.scope.notes,
    )


def baseline_of(
    method: str, encoder: str, evidence: Evidence
) -> tuple[str, str] | None:
    """Return (method, encoder) of the baseline of a method, None where it has none.

    As for scores: the one that was asked for, else what has no pretraining; with the
    same encoder where there is one, else the only one.
    """
    cells = evidence.scope.cells
    asked = evidence.options.baseline
    bases = ~is_pretrained(cells) if asked is None else cells.method == asked
    pairs = cells.loc[bases, ["method", "encoder"]].drop_duplicates()
    found = [(str(m), str(e)) for m, e in pairs.itertuples(index=False)]
    if (method, encoder) in found:
        return None
    same = [pair for pair in found if pair[1] == encoder] or found
    return same[0] if len(same) == 1 else None
