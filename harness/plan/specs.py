"""What spec.json says of each node of a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..matrix.matrix import Matrix, MethodEntry
from ..matrix.recipes import modality_of, recipe_of
from ..schema.identity import digest
from ..schema.protocols import EVALUATE_VERSION
from .cells import Analysis, Cell, Pretraining
from .data import Data
from .identities import Part, Parts, identity
from .overlap import Overlaps


class Specs:
    """Specs by key: identity, labels for tables, and where things lie."""

    def __init__(
        self,
        matrix: Matrix,
        data: Data,
        parts: Parts,
        cells: Sequence[Cell],
        pretrainings: Mapping[str, Pretraining],
        overlaps: Overlaps,
        analyses: Sequence[Analysis] = (),
    ) -> None:
        self.matrix = matrix
        self.data = data
        self.parts = parts
        self.pretrainings = pretrainings
        self.overlaps = overlaps
        self.analyses = {each.key: each for each in analyses}
        self.entries = {entry.name: entry for entry in matrix.analyses}
        self.methods = matrix.stages
        self.recipes = {name: recipe_of(each) for name, each in self.methods.items()}
        self.modalities = {
            name: modality_of(each, matrix.specs) for name, each in self.methods.items()
        }
        self.tasks = {task.name: task for task in matrix.tasks}
        self.budgets = {
            (t.name, str(budget)): budget for t in matrix.tasks for budget in t.budgets
        }
        self.adapts: dict[str, Cell] = {}
        self.evaluates: dict[str, Cell] = {}
        for cell in cells:
            self.adapts.setdefault(cell.adapt_key, cell)
            self.evaluates.setdefault(cell.evaluate_key, cell)

    def spec(self, key: str) -> dict[str, Any]:
        """Return the spec of a node. KeyError if it is not of this plan."""
        if key in self.pretrainings:
            return self._pretrain(self.pretrainings[key])
        if key in self.adapts:
            return self._adapt(self.adapts[key])
        if key in self.analyses:
            return self._analyse(self.analyses[key])
        return self._evaluate(self.evaluates[key])

    def tasks_of(self, key: str) -> tuple[str, ...]:
        """Return the tasks whose data a node reads. KeyError for a foreign key."""
        if key in self.pretrainings:
            corpus = self.methods[self.pretrainings[key].method].corpus
            if corpus is None:
                return ()
            return tuple(name for name, _ in self.data.corpus(corpus))
        if key in self.analyses:
            return (self.analyses[key].cells[0].task,)
        cell = self.adapts.get(key) or self.evaluates[key]
        return (cell.task,)

    def _pretrain(self, pretraining: Pretraining) -> dict[str, Any]:
        method = self.methods[pretraining.method]
        parts = (
            self.parts.pretrain_settings(method),
            self.parts.pretrain_data(method),
            self.parts.pretrain_seeds(pretraining.seed),
        )
        sources = self.data.corpus(method.corpus) if method.corpus else []
        weights = method.weights
        return {
            "key": pretraining.key,
            "kind": "pretrain",
            "identity": identity(
                "pretrain",
                f"methods.{method.stem}",
                method.version,
                parts,
                {"init": pretraining.init} if pretraining.init else {},
            ),
            "labels": self._labels(
                method,
                pretraining_seed=pretraining.seed,
                pretraining_key=pretraining.key,
                n_train=sum(len(ids.ids) for _, ids in sources),
            ),
            "where": {
                **self._where([task for task, _ in sources]),
                **({"weights": str(weights.path)} if weights is not None else {}),
                "cases": {
                    "sources": [
                        {"task": task, "cases": list(ids.ids)} for task, ids in sources
                    ]
                },
            },
        }

    def _adapt(self, cell: Cell) -> dict[str, Any]:
        method, task = self.methods[cell.method], self.tasks[cell.task]
        implementation, version = self.parts.adapt_work(method, cell.protocol)
        parts = (
            self.parts.adapt_settings(method, cell.protocol, task),
            self.parts.adapt_data(
                task, cell.fold, self._budget(cell), cell.subset_seed
            ),
            self.parts.seeds("adapt", cell.seed),
        )
        return {
            "key": cell.adapt_key,
            "kind": "adapt",
            "identity": identity(
                "adapt",
                implementation,
                version,
                parts,
                cell.inputs,
            ),
            **self._of_cell(cell),
        }

    def _evaluate(self, cell: Cell) -> dict[str, Any]:
        method, task = self.methods[cell.method], self.tasks[cell.task]
        parts = (
            self.parts.evaluate_settings(method, cell.protocol, task),
            self.parts.evaluate_data(task, cell.fold),
            self.parts.seeds(None, None),
        )
        inputs = {"adapt": cell.adapt_key}
        return {
            "key": cell.evaluate_key,
            "kind": "evaluate",
            "identity": identity(
                "evaluate", "evaluate", EVALUATE_VERSION, parts, inputs
            ),
            **self._of_cell(cell),
        }

    def _analyse(self, analysis: Analysis) -> dict[str, Any]:
        """Return the spec of an analysis: labels and where are those of its first cell."""
        cell, entry = analysis.cells[0], self.entries[analysis.name]
        settings = entry.settings.model_dump(mode="json")
        parts = (
            Part(settings, digest(settings)),
            self.parts.evaluate_data(self.tasks[cell.task], cell.fold),
            self.parts.seeds(None, None),
        )
        about = self._of_cell(cell)
        about["labels"] |= {"analysis": analysis.name, "against": analysis.against}
        return {
            "key": analysis.key,
            "kind": "analyse",
            "identity": identity(
                "analyse",
                f"analyses.{analysis.base}",
                entry.settings.version,
                parts,
                analysis.inputs,
            ),
            **about,
        }

    def _of_cell(self, cell: Cell) -> dict[str, Any]:
        """Return labels and where of both nodes of a cell."""
        budget = self._budget(cell)
        train = self.data.subset(cell.task, cell.fold, budget, cell.subset_seed).ids
        method = self.methods[cell.method]
        overlap = self.overlaps.of(method, cell.task)
        return {
            "labels": self._labels(
                method,
                **({"overlap": overlap} if overlap else {}),
                task=cell.task,
                protocol=cell.protocol,
                label_budget=cell.budget,
                fold=cell.fold,
                folds=self.matrix.folds,
                seed=cell.seed,
                subset_seed=cell.subset_seed,
                pretraining_seed=cell.pretraining_seed,
                pretraining_key=cell.pretrain_key,
                n_train=len(train),
            ),
            "where": {
                **self._where([cell.task]),
                "cases": {
                    "train": list(train),
                    "val": list(self.data.side(cell.task, "val", cell.fold).ids),
                    "test": list(self.data.side(cell.task, "test", cell.fold).ids),
                },
            },
        }

    def _budget(self, cell: Cell) -> Any:
        return self.budgets[cell.task, cell.budget]

    def _labels(self, method: MethodEntry, **labels: Any) -> dict[str, Any]:
        recipe, modality = self.recipes[method.name], self.modalities[method.name]
        return {
            "method": method.name,
            "encoder": method.encoder_kind,
            "tier": self.matrix.tier,
            "corpus": method.corpus.label if method.corpus else None,
            **({"recipe": str(recipe)} if recipe else {}),
            **({"pretrained_on": modality} if modality else {}),
            **labels,
        }

    def _where(self, tasks: Sequence[str]) -> dict[str, Any]:
        listings = {task: self.data.listing(task) for task in tasks}
        return {
            "benchmark": str(self.matrix.path),
            "training": self.matrix.training.model_dump(mode="json"),
            "keep": self.matrix.keep.model_dump(mode="json"),
            "content": [str(root) for root in self.matrix.content.roots],
            "data_roots": [str(root) for root in self.matrix.data_roots],
            "tasks": {k: v.spec.model_dump(mode="json") for k, v in listings.items()},
            "cache": {
                k: f"cache/data/{v.fingerprint[:16]}" for k, v in listings.items()
            },
        }
