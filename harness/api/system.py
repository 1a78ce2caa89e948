"""What a self-contained system is: training and prediction that are all its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..schema.budget import TaskKind
from ..schema.roles import Role
from ..schema.task import TaskSpec
from ..schema.training import TrainingOptions
from ..volumes.raw import RawCase
from .method import Method, OwnSettings

Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Machine:
    """What a system may use: a device, CPU threads, and a log for what it prints."""

    device: torch.device
    threads: int
    log: Path


@dataclass(frozen=True)
class SystemTraining:
    """One training of a system.

    read: returns a case by its id, on its file's own grid, with its label; train, val:
    case ids; draft: a folder for large files and checkpoints, which the next attempt
    finds again after this one was killed; model: a folder for what is to be published,
    the weights as model.safetensors (which `keep:` may remove);
    options: how often to save; say: takes a line for people; curve: takes split, step
    and values; saved: to be called after each checkpoint; begins: to be called before
    the first step with the steps that draw as many cases as there are and with the steps
    that are done already, where the training goes on from a checkpoint.
    """

    spec: TaskSpec
    read: Callable[[str], RawCase]
    train: tuple[str, ...]
    val: tuple[str, ...]
    seed: int
    machine: Machine
    draft: Path
    model: Path
    options: TrainingOptions
    say: Callable[[str], None]
    curve: Callable[[str, int, Mapping[str, float]], None]
    saved: Callable[[], None]
    begins: Callable[[float, int], None]


class Segmenter(Protocol):
    """A trained system, ready to label images."""

    def labels(self, image: RawCase) -> Labels:
        """Return uint8 (*sides) on the image's own grid; its label is not read.

        Of a task with regions masks (regions, *sides).
        """
        ...

    def close(self) -> None:
        """Let go of processes and files."""
        ...


class System(Method):
    """A method whose role is system. It is never a network: it has no encoder.

    A forecast of cost multiplies its settings `epochs` and `iterations`, or takes
    `steps`, where it has such.
    """

    Settings: ClassVar[type[OwnSettings]]
    encoders: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[tuple[TaskKind, ...]] = ("segmentation",)
    role: ClassVar[Role] = "system"

    def __init__(self, settings: OwnSettings) -> None:
        nn.Module.__init__(self)
        self.settings = settings

    def fit(self, work: SystemTraining) -> dict[str, Any]:
        """Train, write the model, and return what was measured, for the runs table."""
        raise NotImplementedError

    def segmenter(self, model: Path, draft: Path, machine: Machine) -> Segmenter:
        """Open what `fit` wrote; draft: a folder for files that pass through."""
        raise NotImplementedError
