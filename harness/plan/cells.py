"""What a plan is made of: cells, pretrainings and jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple


@dataclass(frozen=True, slots=True)
class Cell:
    """One adaptation and its evaluation: the unit that users see."""

    method: str
    encoder: str
    task: str
    protocol: str
    budget: str
    fold: int
    seed: int
    subset_seed: int
    pretraining_seed: int | None
    pretrain_key: str | None
    adapt_key: str
    evaluate_key: str

    @property
    def label(self) -> str:
        """The cell in words, for people."""
        pretraining = (
            ""
            if self.pretraining_seed is None
            else f", pretraining seed {self.pretraining_seed}"
        )
        return (
            f"{self.method} {self.task} {self.protocol} {self.budget} "
            f"fold {self.fold} seed {self.seed}{pretraining}"
        )


class Pretraining(NamedTuple):
    """One pretraining, which any number of cells share.

    init: key of the pretraining whose encoder it starts from.
    """

    key: str
    method: str
    seed: int
    init: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """What one worker executes: missing nodes of a pretraining or a cell, in order.

    name: first 16 digits of the pretrain node or of the evaluate node; after: keys of
    the pretrainings that must be published first; label: for people; method, task: what
    resource profiles tell jobs apart by (a pretraining has no task).
    """

    name: str
    kind: Literal["pretrain", "cell"]
    nodes: tuple[str, ...]
    after: tuple[str, ...]
    label: str
    profile: Literal["pretrain", "cell"]
    method: str = ""
    task: str = ""
