"""Which code does an adaptation: the module of its protocol, or that of systems."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from ..data import TaskData
from ..node import Node
from ..predictor import Predictor
from .predict import network_predictor


def nothing(node: Node, data: TaskData, predictor: Predictor) -> None:
    """Keep nothing more."""


@dataclass(frozen=True)
class Implementation:
    """The work of one protocol, or of systems.

    adapt: computes an adapt node into its attempt's folder; predictor: opens what was
    published, for an evaluate node with the data of its task; keeps: writes what an
    evaluation keeps beside scores and predictions; shared: whether the ranks of a job
    share its work, or rank 0 does it alone.
    """

    adapt: Callable[[Node], None]
    predictor: Callable[[Node, TaskData], Predictor] = network_predictor
    keeps: Callable[[Node, TaskData, Predictor], None] = nothing
    shared: bool = True


def implementation(name: str) -> Implementation:
    """Return the `IMPLEMENTATION` that an adapt node's identity names.

    name: 'protocols.NAME', which is harness/run/adapt/NAME.py; or 'methods.NAME', a
    system, which adapts by itself.
    """
    module = import_module(f"{__package__}.{_module(name)}")
    found: Implementation = module.IMPLEMENTATION
    return found


def _module(name: str) -> str:
    family, _, stem = name.partition(".")
    return "system" if family == "methods" else stem
