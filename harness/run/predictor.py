"""What an evaluation asks of a model, whatever it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Labels = NDArray[np.uint8]


class Predictor(Protocol):
    """A model of one task, ready to predict cases of that task's data.

    A model of one kind of task has no use for the other's function, and raises
    TypeError there.
    """

    def class_scores(self, ids: Sequence[str]) -> Tensor:
        """Return a score per case and class, float64 (n, classes), rows of sum 1."""
        ...

    def labels(self, case_id: str) -> tuple[Labels, Labels]:
        """Return the labels of a case on the network's grid and on its file's own.

        Label maps (*sides), or masks (regions, *sides) where the task has regions.
        """
        ...
