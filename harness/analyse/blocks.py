"""Scores of methods side by side on several tasks: what rankings are made of.

A block is a task with a protocol and a label budget. Ranking needs the same methods in
every block; what is missing is refused or left out by name, never skipped silently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..schema.errors import UserError
from .classified import Drawn
from .compare import stream
from .intervals import Bools, Floats, Ints
from .resample import Resample
from .scores import Layout, Stacked

Block = tuple[str, str, str]  # task, protocol, label budget
Method = tuple[str, str]  # method, encoder


@dataclass(frozen=True)
class Blocks:
    """Means of M methods in K blocks, and under B draws of cases and seeds.

    value: (K, M); known: (K, M) where there is a mean; drawn: (B, K, M); whole: (K, M)
    where every planned cell is published. All draws of a block are paired across
    methods. left_out: blocks and methods that `complete` removed, as sentences.
    """

    blocks: tuple[Block, ...]
    methods: tuple[Method, ...]
    value: Floats
    known: Bools
    drawn: Floats
    whole: Bools
    lower_is_better: bool = False
    left_out: tuple[str, ...] = ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """The distinct tasks, in order."""
        return tuple(dict.fromkeys(task for task, _, _ in self.blocks))

    def only(self, rows: Ints, columns: Ints) -> Blocks:
        """Return some blocks (rows) and methods (columns)."""
        at = np.ix_(rows, columns)
        return replace(
            self,
            blocks=tuple(self.blocks[row] for row in rows),
            methods=tuple(self.methods[column] for column in columns),
            value=self.value[at],
            known=self.known[at],
            drawn=self.drawn[:, at[0], at[1]],
            whole=self.whole[at],
        )

    def where(
        self, *, protocol: str | None = None, budget: str | None = None
    ) -> Blocks:
        """Return the blocks with a protocol and a label budget."""
        rows = [
            row
            for row, (_, of_protocol, of_budget) in enumerate(self.blocks)
            if protocol in (None, of_protocol) and budget in (None, of_budget)
        ]
        return self.only(np.array(rows, dtype=np.int64), np.arange(len(self.methods)))

    def by_task(self) -> Blocks:
        """Return one block per task: the plain mean over its protocols and budgets.

        Blocks of one task share test cases; tasks are what rank tests take as
        independent. A task counts as known where all its blocks are.
        """
        rows = [
            np.array([r for r, block in enumerate(self.blocks) if block[0] == task])
            for task in self.tasks
        ]
        return replace(
            self,
            blocks=tuple((task, "*", "*") for task in self.tasks),
            value=_joined([self.value[r].mean(axis=0) for r in rows], self.value),
            known=_joined([self.known[r].all(axis=0) for r in rows], self.known),
            whole=_joined([self.whole[r].all(axis=0) for r in rows], self.whole),
            drawn=np.stack([self.drawn[:, r].mean(axis=1) for r in rows], axis=1)
            if rows
            else self.drawn,
        )


def _joined(rows: list[np.ndarray], like: np.ndarray) -> np.ndarray:
    return np.stack(rows) if rows else like


def blocks_of_cases(
    stacked: Mapping[str, Stacked],
    layout: Layout,
    *,
    lower_is_better: bool = False,
    seed: int = 0,
    draws: int = 2000,
) -> Blocks:
    """Return the blocks of a metric that has a value per case."""
    found = _empty(layout, draws, lower_is_better=lower_is_better)
    for task, one in stacked.items():
        scores = one.scores
        resample = Resample.draw(
            scores.patient, scores.values.shape[2], stream(seed, task), draws=draws
        )
        means, usable = resample.means(scores)
        total = scores.present.sum(axis=(1, 2))
        value = scores.values.sum(axis=(1, 2)) / np.maximum(total, 1)
        for place, group in enumerate(one.groups):
            if total[place]:
                drawn = np.where(usable[:, place], means[:, place], value[place])
                _put(found, layout, int(group), float(value[place]), drawn)
    return found


def blocks_of_runs(
    drawn: Mapping[str, Drawn],
    layout: Layout,
    *,
    seed: int = 0,
    draws: int = 2000,
) -> Blocks:
    """Return the blocks of a metric that exists per run only; higher is better.

    draws: as many as `drawn` was made with.
    """
    found = _empty(layout, draws, lower_is_better=False)
    for task, source in drawn.items():
        width = max((len(one.value) for one in source.draws.values()), default=0)
        luck = stream(seed, task).random((draws, width))
        for group, one in source.draws.items():
            if one.usable.any():
                count = len(one.value)
                picked = (luck[:, :count] * count).astype(np.int64)
                means = np.take_along_axis(one.drawn, picked, axis=1).mean(axis=1)
                value = float(one.value.mean())
                kept = np.where(one.usable, means, value)
                _put(found, layout, group, value, kept)
    return found


def _empty(layout: Layout, draws: int, *, lower_is_better: bool) -> Blocks:
    groups = layout.groups
    blocks = tuple(
        dict.fromkeys(
            zip(groups.task, groups.protocol, groups.label_budget, strict=True)
        )
    )
    methods = tuple(dict.fromkeys(zip(groups.method, groups.encoder, strict=True)))
    shape = (len(blocks), len(methods))
    found = Blocks(
        blocks,
        methods,
        np.zeros(shape),
        np.zeros(shape, dtype=bool),
        np.zeros((draws, *shape)),
        np.zeros(shape, dtype=bool),
        lower_is_better,
    )
    for group in groups.index:
        row = groups.loc[group]
        found.whole[_at(found, layout, group)] = row.done == row.planned
    return found


def _at(found: Blocks, layout: Layout, group: int) -> tuple[int, int]:
    row = layout.groups.loc[group]
    block = found.blocks.index((row.task, row.protocol, row.label_budget))
    return block, found.methods.index((row.method, row.encoder))


def _put(
    found: Blocks, layout: Layout, group: int, value: float, drawn: Floats
) -> None:
    at = _at(found, layout, group)
    found.value[at], found.known[at] = value, True
    found.drawn[:, at[0], at[1]] = drawn


def complete(blocks: Blocks, *, allow_incomplete: bool = False) -> Blocks:
    """Return blocks in which every method has a score, with what was left out.

    Without `allow_incomplete` a missing cell is refused with a UserError. With it,
    methods without any score go first, then every block that lacks a method; blocks in
    which only some seeds are missing stay, and are named.
    """
    missing = ~(blocks.known & blocks.whole)
    if not missing.any() and blocks.blocks:
        return blocks
    if not allow_incomplete or not blocks.known.any():
        count, total = int(missing.sum()), missing.size
        msg = (
            f"{count} of {total} results of methods on tasks are missing or incomplete, "
            "and a ranking needs the same ones of every method: finish the run, filter "
            "what is missing out, or add --allow-incomplete"
        )
        raise UserError(msg)
    columns = np.flatnonzero(blocks.known.any(axis=0))
    rows = np.flatnonzero(blocks.known[:, columns].all(axis=1))
    said = [
        f"{blocks.methods[column][0]} is left out: it has no score"
        for column in range(len(blocks.methods))
        if column not in columns
    ]
    for row, (task, protocol, budget) in enumerate(blocks.blocks):
        name = f"{task}, {protocol}, {budget}"
        if row not in rows:
            said.append(f"{name} is left out: not every method has a score there")
        elif missing[row, columns].any():
            said.append(f"{name}: some seeds or folds are missing")
    if not len(rows):
        msg = "no task has a score of every method yet, so there is nothing to rank"
        raise UserError(msg)
    return replace(blocks.only(rows, columns), left_out=(*blocks.left_out, *said))
