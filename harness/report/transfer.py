"""Which quantities of methods are asked how well they predict scores, and the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from ..analyse.blocks import Block, Method
from ..analyse.compare import stream
from ..analyse.intervals import Floats
from ..analyse.transfer import Predicted, predicted
from ..schema.errors import UserError
from .alignment import PAIR
from .evidence import Evidence
from .options import NothingYet

Source = Literal["transfer", "reuse", "pretraining"]
ALL_TASKS = "all tasks"
_LAST = 0.1  # of a pretraining's steps; as its monitor looks at (harness.run.collapse)


def _as_it_is(value: float) -> float:
    return value


def _turned(value: float) -> float:
    return -value


def _near_one(value: float) -> float:
    return -abs(value - 1.0)


@dataclass(frozen=True)
class Quantity:
    """What may predict scores. convention: which values are taken for better, in words.

    source: whose rows it is in, where it is called `row`; needs: what it takes beside
    images and the encoder; oriented: a value so that higher is better.
    """

    name: str
    head: str
    source: Source
    row: str
    convention: str
    needs: str
    oriented: Callable[[float], float] = _as_it_is


_CURVE, _LABELS, _TUNED = "pretraining curve", "classes", "fine-tuning"
QUANTITIES = (
    Quantity("effective_rank", "effective rank", "transfer", "effective_rank", "higher",
             "nothing"),
    Quantity("rankme", "RankMe", "transfer", "rankme", "higher", "nothing"),
    Quantity("spectrum_slope", "a-ReQ slope", "transfer", "spectrum_slope", "near 1",
             "nothing", _near_one),
    Quantity("spread", "spread", "transfer", "spread", "higher", "nothing"),
    Quantity("uniformity", "uniformity", "transfer", "uniformity", "lower", "nothing",
             _turned),
    Quantity("attention_entropy", "entropy of heads", "transfer",
             "attention_entropy_share", "higher", "attention"),
    Quantity("neighbour_accuracy", "k-NN accuracy", "transfer", "neighbour_accuracy",
             "higher", _LABELS),
    Quantity("reuse", "CKA reuse of the encoder", "reuse", "cka", "higher", _TUNED),
    Quantity("pretraining_spread", "spread in pretraining", "pretraining", "spread",
             "higher", _CURVE),
    Quantity("pretraining_rank", "effective rank in pretraining", "pretraining",
             "effective_rank", "higher", _CURVE),
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """How a quantity orders methods on a task, or on all of them, with one protocol."""

    quantity: Quantity
    task: str
    protocol: str
    found: Predicted


class Predictors:
    """Scores of blocks of every task's first metric, beside the quantities of methods."""

    def __init__(self, evidence: Evidence) -> None:
        """Arrange scores. Raises UserError where the same ones of all are not there."""
        self.evidence = evidence
        parts = [evidence.blocks(metric) for metric in evidence.shown_metrics()]
        first = {n: facts.metrics[:1] for n, facts in evidence.scope.tasks.items()}
        metrics = evidence.shown_metrics()
        self.methods: list[Method] = list(
            dict.fromkeys(method for part in parts for method in part.methods)
        )
        self.blocks: list[Block] = []
        scores, drawn = [], []
        for metric, part in zip(metrics, parts, strict=True):
            sign = -1.0 if part.lower_is_better else 1.0
            columns = [self.methods.index(method) for method in part.methods]
            for row, block in enumerate(part.blocks):
                if first[block[0]] == (metric,):
                    self.blocks.append(block)
                    scores.append(self._placed(sign * part.value[row], columns))
                    drawn.append(self._placed(sign * part.drawn[:, row], columns))
        if not self.blocks:
            msg = "no task has a score by its first metric yet"
            raise NothingYet(msg)
        self.scores, self.drawn = np.stack(scores), np.stack(drawn, axis=1)

    def _placed(self, values: Floats, columns: list[int]) -> Floats:
        found = np.full((*values.shape[:-1], len(self.methods)), np.nan)
        found[..., columns] = values
        return found

    def answers(self) -> list[Answer]:
        """Return every quantity that any method has: on all tasks first, then on each."""
        asked = [q for q in QUANTITIES if np.isfinite(self.values[q.name]).any()]
        return [
            Answer(quantity, task, protocol, self._answer(quantity, task, protocol))
            for task, protocol in self._places()
            for quantity in asked
        ]

    def lacking(self) -> list[Quantity]:
        """Return the quantities that no method has."""
        return [q for q in QUANTITIES if not np.isfinite(self.values[q.name]).any()]

    def _places(self) -> Iterator[tuple[str, str]]:
        for protocol in dict.fromkeys(block[1] for block in self.blocks):
            tasks = dict.fromkeys(t for t, p, _ in self.blocks if p == protocol)
            if len(tasks) > 1:
                yield ALL_TASKS, protocol
            yield from ((task, protocol) for task in tasks)

    def _answer(self, quantity: Quantity, task: str, protocol: str) -> Predicted:
        rows = [
            row
            for row, (of_task, of_protocol, _) in enumerate(self.blocks)
            if of_protocol == protocol and task in (ALL_TASKS, of_task)
        ]
        options = self.evidence.options
        values = self.values[quantity.name][rows]
        if task == ALL_TASKS:  # a task without the quantity says nothing of it
            own = np.asarray(np.isfinite(values).any(axis=1))
            rows = np.asarray(rows, dtype=np.intp)[own].tolist()
            values = values[own]
        # The same methods are drawn for every quantity.
        rng = stream(options.seed, f"{protocol} {task}")
        return predicted(
            values, self.scores[rows], self.drawn[:, rows], rng, level=options.level
        )

    @cached_property
    def values(self) -> dict[str, Floats]:
        """Oriented values by quantity, (blocks, methods), nan where not measured."""
        frames = {
            source: read(self.evidence)
            for source, read in _READ.items()
        }  # fmt: skip
        return {q.name: self._of(q, frames[q.source]) for q in QUANTITIES}

    def _of(self, quantity: Quantity, rows: pd.DataFrame) -> Floats:
        own = rows[rows.quantity == quantity.row].dropna(subset="value")
        own = own.assign(value=own.value.map(quantity.oriented))
        found = np.full(self.scores.shape, np.nan)
        places = own.groupby(["method", "encoder"])
        for place, some in places:
            column = self.methods.index(place) if place in self.methods else None
            for row, block in enumerate(self.blocks if column is not None else ()):
                of = np.ones(len(some), dtype=bool)
                for name, label in zip(
                    ("task", "protocol", "label_budget"), block, strict=True
                ):
                    if name in some:
                        of &= (some[name] == label).to_numpy()
                if of.any():
                    found[row, column] = some.value[of].mean()
        return found


def _nothing() -> pd.DataFrame:
    return pd.DataFrame(columns=["method", "encoder", "quantity", "value"])


def _of_encoders(evidence: Evidence) -> pd.DataFrame:
    """Return rows of the analysis transfer, which hold for all cells of a task."""
    rows = evidence.features.rows("transfer")
    return rows[["method", "encoder", "task", "quantity", "value"]]


def _of_reuse(evidence: Evidence) -> pd.DataFrame:
    """Return the mean reuse over an encoder's layers, of every cell."""
    try:
        rows = evidence.features.rows("reuse")
    except UserError:
        return _nothing()
    other = rows.layer.str.contains(PAIR, regex=False)
    own = rows[~other & ~rows.layer.str.startswith("decoder")]
    place = ["method", "encoder", "task", "protocol", "label_budget", "quantity"]
    return own.groupby([*place, "key"], as_index=False).value.mean()


def _of_pretraining(evidence: Evidence) -> pd.DataFrame:
    """Return the mean over the last tenth of each pretraining's curve."""
    cells = evidence.scope.cells
    own = cells[["method", "encoder", "pretraining_key"]].dropna().drop_duplicates()
    if not len(own):
        return _nothing()
    rows = evidence.reader.trained(list(own.pretraining_key))
    late = rows.step > (1 - _LAST) * rows.groupby("cell").step.transform("max")
    rows = rows[late].groupby(["cell", "quantity"], as_index=False).value.mean()
    told = own.iloc[rows.cell.to_numpy()].reset_index(drop=True)
    return told.assign(quantity=rows.quantity.to_numpy(), value=rows.value.to_numpy())


_READ: dict[Source, Callable[[Evidence], pd.DataFrame]] = {
    "transfer": _of_encoders, "reuse": _of_reuse, "pretraining": _of_pretraining,
}  # fmt: skip
