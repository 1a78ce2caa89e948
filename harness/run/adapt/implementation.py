"""Which code does the work of a protocol: the module of its name in this package."""

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
    """The work of one protocol.

    adapt: computes an adapt node into its attempt's folder; predictor: opens what was
    published, for an evaluate node with the data of its task; keeps: writes what an
    evaluation keeps beside scores and predictions.
    """

    adapt: Callable[[Node], None]
    predictor: Callable[[Node, TaskData], Predictor] = network_predictor
    keeps: Callable[[Node, TaskData, Predictor], None] = nothing


def implementation(protocol: str) -> Implementation:
    """Return the `IMPLEMENTATION` of harness/run/adapt/<protocol>.py."""
    module = import_module(f"{__package__}.{protocol}")
    found: Implementation = module.IMPLEMENTATION
    return found
