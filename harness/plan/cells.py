"""What a plan is made of: cells, pretrainings and jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple


@dataclass(frozen=True, slots=True)
class Cell:
    """One adaptation and its evaluation: the unit that users see.

    encoders: keys of the pretrain nodes that the adaptation starts from, in order: none
    (a baseline, a system), one, or those of a fusion's members.
    """

    method: str
    encoder: str
    task: str
    protocol: str
    budget: str
    fold: int
    seed: int
    subset_seed: int
    pretraining_seed: int | None
    encoders: tuple[str, ...]
    adapt_key: str
    evaluate_key: str

    @property
    def pretrain_key(self) -> str | None:
        """The only node that the adaptation starts from, if it is one."""
        return self.encoders[0] if len(self.encoders) == 1 else None

    @property
    def inputs(self) -> dict[str, str]:
        """Inputs of the adapt node: `encoder`, or `encoder.0`, `encoder.1`, ..."""
        return encoder_inputs(self.encoders)

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


def encoder_inputs(encoders: Sequence[str]) -> dict[str, str]:
    """Return the inputs of an adapt node that starts from these pretrain nodes."""
    if len(encoders) == 1:
        return {"encoder": encoders[0]}
    return {f"encoder.{number}": key for number, key in enumerate(encoders)}


class Pretraining(NamedTuple):
    """One pretrain node, which any number of cells share.

    seed: None where nothing is trained (an imported checkpoint); init: key of the
    pretraining whose encoder it starts from.
    """

    key: str
    method: str
    seed: int | None
    init: str | None = None

    @property
    def label(self) -> str:
        """The pretraining in words, for people."""
        if self.seed is None:
            return f"import {self.method}"
        return f"pretrain {self.method} seed {self.seed}"


class Analysis(NamedTuple):
    """One analysis: of the network of one cell, or of two that it compares.

    name: the entry of the benchmark file; against: in which label the second cell
    differs, as 'label_budget=100%'.
    """

    key: str
    name: str
    base: str
    cells: tuple[Cell, ...]
    against: str | None = None

    @property
    def inputs(self) -> dict[str, str]:
        """Inputs of the node: `adapt`, or `adapt.0` and `adapt.1`."""
        keys = [cell.adapt_key for cell in self.cells]
        if len(keys) == 1:
            return {"adapt": keys[0]}
        return {f"adapt.{number}": key for number, key in enumerate(keys)}

    @property
    def label(self) -> str:
        """The analysis in words, for people."""
        against = f" against {self.against}" if self.against else ""
        return f"{self.name} of {self.cells[0].label}{against}"


@dataclass(frozen=True, slots=True)
class Job:
    """What one worker executes: missing nodes of one kind, in order.

    name: first 16 digits of the pretrain node, the evaluate node or the analyse node;
    after: keys of the nodes that must be published first; label: for people; method,
    task: what resource profiles tell jobs apart by (a pretraining has no task).
    """

    name: str
    kind: Literal["pretrain", "cell", "analyse"]
    nodes: tuple[str, ...]
    after: tuple[str, ...]
    label: str
    profile: Literal["pretrain", "cell"]
    method: str = ""
    task: str = ""
