"""What figures and page draw on: the evidence, its tables, and the store it is from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..analyse.blocks import Blocks
from ..analyse.compare import Comparison, Pairs
from ..analyse.scores import CaseMetric, is_pretrained
from ..store.index import Done
from .sheet import Sheet
from .table import Measure, Table, budget_order

if TYPE_CHECKING:
    import pandas as pd

    from .evidence import Evidence
    from .figures.style import Looks
    from .scope import Scope


class Place(NamedTuple):
    """Where a figure or a block of the page stands."""

    task: str
    protocol: str


@dataclass(frozen=True)
class Findings:
    """Everything a report shows, before it is drawn.

    tables, sheets: by file stem; published: what was published when the report was begun;
    literature: numbers that papers print (harness.report.literature), None without any.
    """

    evidence: Evidence
    tables: Mapping[str, Table]
    published: Done
    sheets: Mapping[str, Sheet] = field(default_factory=dict)
    literature: pd.DataFrame | None = None

    @property
    def scope(self) -> Scope:
        """What the report is about."""
        return self.evidence.scope

    @cached_property
    def looks(self) -> Looks:
        """Colours and markers of the methods, whether finished or not."""
        from .figures.style import Looks

        cells = self.scope.cells
        pairs = list(zip(cells.method, cells.encoder, strict=True))
        trained = is_pretrained(cells)
        own = [pair for pair, known in zip(pairs, trained, strict=True) if known]
        return Looks.assign(pairs, own)

    @cached_property
    def done(self) -> pd.DataFrame:
        """The published cells."""
        cells = self.scope.cells
        return cells[cells.state == "done"]

    def means(self) -> Iterator[tuple[Measure, Table]]:
        """Yield the tables of means over all structures or classes, by metric."""
        for table in self.tables.values():
            if table.kind == "scores" and not table.by_part:
                yield table.metric, table

    def heading(self, task: str) -> str:
        """Return a task's name as tables show it."""
        facts = self.scope.tasks[task]
        return f"{task} (synthetic)" if facts.synthetic else task

    def places(self, metric: str) -> list[Place]:
        """Return the (task, protocol) pairs with a published cell that has a metric."""
        cells = self.done
        pairs = dict.fromkeys(zip(cells.task, cells.protocol, strict=True))
        tasks = self.scope.tasks
        return [Place(*pair) for pair in pairs if metric in tasks[pair[0]].measures]

    def budgets(self, place: Place) -> list[str]:
        """Return the label budgets of published cells, the smallest first."""
        cells = self.done
        own = cells[(cells.task == place.task) & (cells.protocol == place.protocol)]
        return sorted(own.label_budget.unique(), key=budget_order)

    def cases(self, metric: CaseMetric, place: Place) -> pd.DataFrame:
        """Return one row per method, label budget and case: the mean over seeds.

        Columns: method, encoder, budget, case, score. Empty where nothing has a value.
        """
        import pandas as pd

        names = ["method", "encoder", "budget", "case", "score"]
        stacked = self.evidence.stacked(metric).get(place.task)
        if stacked is None:
            return pd.DataFrame(columns=names)
        groups = self.evidence.layout(metric).groups.loc[stacked.groups]
        own = np.flatnonzero((groups.protocol == place.protocol).to_numpy())
        frames = []
        for at in own:
            row = groups.iloc[at]
            present = stacked.scores.present[at]
            count = present.sum(axis=1)
            total = stacked.scores.values[at].sum(axis=1)
            some = count > 0
            frames.append(
                pd.DataFrame(
                    {
                        "method": row.method,
                        "encoder": row.encoder,
                        "budget": row.label_budget,
                        "case": np.array(stacked.case_ids)[some],
                        "score": total[some] / count[some],
                    }
                )
            )
        return pd.concat(frames) if frames else pd.DataFrame(columns=names)

    def comparisons(self, metric: Measure, pairs: Pairs) -> list[Comparison]:
        """Return tests of each method against the baseline, or of all pairs."""
        return self.evidence.comparisons(metric, pairs)

    def blocks(self, metric: Measure) -> Blocks:
        """Return scores of methods side by side on tasks, for rankings."""
        return self.evidence.blocks(metric)

    def file(self, key: str, name: str) -> Path:
        """Return the path of a published file. KeyError if there is none."""
        return self.published.path(key, name)

    def gpu_share(self, key: str) -> float:
        """Return GPU-hours per hour of a published node, 0 where none was noted."""
        run = self.published[key].run
        wall, gpu = run.get("wall_s"), run.get("gpu_h")
        return float(gpu) * 3600 / float(wall) if wall and gpu else 0.0

    def predictions(self, cells: pd.DataFrame) -> pd.DataFrame:
        """Return test predictions of published cells: columns as of the reader."""
        return self.evidence.reader.predictions(list(cells.evaluate_key))


def of_place(cells: pd.DataFrame, place: Place, budget: str) -> pd.DataFrame:
    """Return the cells of a task, a protocol and a label budget, numbered from 0."""
    own = cells[
        (cells.task == place.task)
        & (cells.protocol == place.protocol)
        & (cells.label_budget == budget)
    ]
    return own.reset_index(drop=True)


def several(names: Sequence[str]) -> str:
    """Join names as a sentence does."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
