"""From a matrix to cells with their keys."""

from __future__ import annotations

from collections.abc import Iterator

from ..matrix.matrix import Matrix, MethodEntry, TaskEntry
from ..schema.identity import key_of_digests
from ..schema.protocols import EVALUATE_VERSION
from .cells import Cell, Pretraining, encoder_inputs
from .identities import Parts


class Keys:
    """Keys of the nodes of a matrix, from the digests of their parts."""

    def __init__(self, matrix: Matrix, parts: Parts) -> None:
        self.matrix = matrix
        self.parts = parts
        self.pretrainings: dict[tuple[str, int | None], Pretraining] = {}

    def encoders(self, method: MethodEntry, seed: int | None) -> tuple[str, ...]:
        """Return the keys of the nodes that a method's adaptations start from."""
        if method.members:
            found = (self.encoders(each, seed) for each in method.members)
            return tuple(key for keys in found for key in keys)
        return (self.pretraining(method, seed),) if method.is_published else ()

    def pretraining(self, method: MethodEntry, seed: int | None) -> str:
        """Return the key of a method's pretrain node."""
        seed = seed if method.is_trained else None
        found = self.pretrainings.get((method.name, seed))
        if found is None:
            stage = self.pretraining(method.init, seed) if method.init else None
            key = key_of_digests(
                "pretrain",
                f"methods.{method.stem}",
                method.version,
                self.parts.pretrain_settings(method).digest,
                self.parts.pretrain_data(method).digest,
                self.parts.pretrain_seeds(seed).digest,
                {"init": stage} if stage else {},
            )
            found = Pretraining(key, method.name, seed, stage)
            self.pretrainings[method.name, seed] = found
        return found.key

    def cells(self) -> Iterator[Cell]:
        """Yield the cells: methods, tasks, protocols, budgets in the file's order."""
        for method in self.matrix.methods:
            for task in self.matrix.tasks:
                for protocol in self.matrix.protocols_of(method, task):
                    yield from self._cells(method, task, protocol)

    def _cells(
        self, method: MethodEntry, task: TaskEntry, protocol: str
    ) -> Iterator[Cell]:
        matrix, parts = self.matrix, self.parts
        implementation, version = parts.adapt_work(method, protocol)
        settings = parts.adapt_settings(method, protocol, task).digest
        evaluation = parts.evaluate_settings(method, protocol, task).digest
        nothing = parts.seeds(None, None).digest
        kind = method.encoder_kind
        draws = [
            (seed, parts.seeds("adapt", seed).digest, pretraining_seed,
             self.encoders(method, pretraining_seed))
            for seed in matrix.seeds
            for pretraining_seed in matrix.pretraining_seeds_of(method, seed)
        ]  # fmt: skip
        drawn = {
            (fold, subset_seed, budget): parts.adapt_data(
                task, fold, budget, subset_seed
            ).digest
            for fold in matrix.chosen_folds
            for subset_seed in {matrix.subset_seed(seed) for seed in matrix.seeds}
            for budget in task.budgets  # innermost: cases are ranked once for all
        }
        for budget in task.budgets:
            name = str(budget)
            for fold in matrix.chosen_folds:
                test = parts.evaluate_data(task, fold).digest
                for seed, seeds, pretraining_seed, encoders in draws:
                    subset_seed = matrix.subset_seed(seed)
                    data = drawn[fold, subset_seed, budget]
                    adapt = key_of_digests(
                        "adapt",
                        implementation,
                        version,
                        settings,
                        data,
                        seeds,
                        encoder_inputs(encoders),
                    )
                    evaluate = key_of_digests(
                        "evaluate",
                        "evaluate",
                        EVALUATE_VERSION,
                        evaluation,
                        test,
                        nothing,
                        {"adapt": adapt},
                    )
                    yield Cell(
                        method.name, kind, task.name, protocol, name,
                        fold, seed, subset_seed, pretraining_seed, encoders, adapt,
                        evaluate,
                    )  # fmt: skip
