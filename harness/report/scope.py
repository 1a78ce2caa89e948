"""What a report is about: cells, what is known of their tasks, and what is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..schema.claims import StatedClaim
from ..schema.task import TaskSpec
from .analysed import NO_ANALYSES, analyses_of_plan

if TYPE_CHECKING:
    import pandas as pd

    from ..plan import Plan

# One row per cell. state: 'done' where evaluate_key is published, else missing.
CELLS = (
    "method", "encoder", "task", "protocol", "label_budget", "fold", "seed",
    "subset_seed", "pretraining_seed", "pretraining_key", "evaluate_key", "state",
)  # fmt: skip
# And more that is known of them; overlap: what a method had seen of its task, or None;
# recipe: of the method (schema.recipes), or None; pretrained_on: modalities, or None.
MORE = ("adapt_key", "tier", "overlap", "recipe", "pretrained_on")


@dataclass(frozen=True)
class TaskFacts:
    """What tables say of a task.

    Taken from a task file, or from the copy of one that an older harness kept beside a
    result: what is not needed here may have changed since. structures: what it is scored
    on, regions of it where it has them.
    """

    title: str
    kind: str
    metrics: tuple[str, ...]
    structures: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    ordinal: bool = False
    synthetic: bool = False
    cases: int = 0
    modality: str = ""

    @property
    def measures(self) -> tuple[str, ...]:
        """What can be said of it: its metrics, and what its predictions give besides."""
        more = ("f1", "sens", "spec") if self.kind == "classification" else ()
        return (*self.metrics, *more)

    @property
    def of_two(self) -> bool:
        """Whether it is a classification into two classes."""
        return len(self.classes) == 2

    @classmethod
    def of(cls, spec: TaskSpec | Mapping[str, Any]) -> TaskFacts:
        """Read a specification, or its JSON as spec.json holds it."""
        text = spec.model_dump(mode="json") if isinstance(spec, TaskSpec) else spec
        target = text.get("target") or {}
        structures = text.get("structures") or {}
        scored = text.get("regions") or sorted(structures, key=structures.__getitem__)
        return cls(
            title=str(text.get("title", "")),
            kind=str(text.get("kind", "")),
            metrics=tuple(map(str, text.get("metrics") or ())),
            structures=tuple(map(str, scored)),
            classes=tuple(map(str, target.get("classes") or ())),
            ordinal=bool(target.get("ordinal", False)),
            synthetic=bool(text.get("synthetic", False)),
            cases=int(text.get("cases") or 0),
            modality=str(text.get("modality", "")),
        )


@dataclass(frozen=True)
class Scope:
    """Cells in the order in which tables show them, and their tasks.

    name: of the report; cells: columns CELLS and MORE; available:
    labelled cases that were found, by task, where that is known; planned: whether what
    is missing is known, which takes a benchmark file; notes: sentences for every table;
    claims: of the benchmark file; beside: the folder in which reports/ lies; analyses:
    of these cells (columns harness.report.analysed.ANALYSES); members: of fusions, the
    methods that they join, where that is known.
    """

    name: str
    cells: pd.DataFrame = field(repr=False)
    tasks: Mapping[str, TaskFacts]
    available: Mapping[str, int] = field(default_factory=dict)
    planned: bool = True
    notes: tuple[str, ...] = ()
    claims: tuple[StatedClaim, ...] = ()
    beside: Path = field(default_factory=Path)
    analyses: pd.DataFrame = field(default_factory=NO_ANALYSES.copy, repr=False)
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where a report goes by default: reports/NAME, beside the content folders."""
        return self.beside / "reports" / self.name

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric that a task lists, in the order of the tasks."""
        return tuple(dict.fromkeys(m for t in self.tasks.values() for m in t.metrics))


def scope_of_plan(plan: Plan) -> Scope:
    """Take the cells of a benchmark file, published or not."""
    import pandas as pd

    from ..matrix.recipes import modality_of, recipe_of

    done = {cell.evaluate_key for cell in plan.done}
    tier, methods = plan.matrix.tier, plan.matrix.stages
    recipes = {name: recipe_of(method) for name, method in methods.items()}
    specs = plan.matrix.specs
    modalities = {name: modality_of(method, specs) for name, method in methods.items()}
    rows = [
        {
            "method": cell.method,
            "encoder": cell.encoder,
            "task": cell.task,
            "protocol": cell.protocol,
            "label_budget": cell.budget,
            "fold": cell.fold,
            "seed": cell.seed,
            "subset_seed": cell.subset_seed,
            "pretraining_seed": cell.pretraining_seed,
            "pretraining_key": cell.pretrain_key,
            "adapt_key": cell.adapt_key,
            "evaluate_key": cell.evaluate_key,
            "state": "done" if cell.evaluate_key in done else "missing",
            "tier": tier,
            "overlap": plan.overlaps.of(methods[cell.method], cell.task),
            "recipe": str(recipes[cell.method]) if recipes[cell.method] else None,
            "pretrained_on": modalities[cell.method],
        }
        for cell in plan.cells
    ]
    listings = {task.name: plan.listing(task.name) for task in plan.matrix.tasks}
    return Scope(
        name=plan.matrix.path.stem,
        cells=pd.DataFrame.from_records(rows, columns=[*CELLS, *MORE]),
        tasks={task.name: TaskFacts.of(task.spec) for task in plan.matrix.tasks},
        available={
            name: len(listing.cases)
            for name, listing in listings.items()
            if listing.cases is not None
        },
        claims=plan.matrix.claims,
        beside=plan.matrix.content.roots[0],
        analyses=analyses_of_plan(plan),
        members={
            name: tuple(each.name for each in method.members)
            for name, method in methods.items()
            if method.members
        },
    )
