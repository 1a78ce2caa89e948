"""From distinct evaluations to cells: several cells may share one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..analyse.scores import Layout
from ..metrics.classification import Weights
from .scope import Scope


def distinct(layout: Layout) -> tuple[list[str], Spread]:
    """Return the keys of the published cells, each once, and how to undo that.

    Two label budgets that choose the same training cases share their evaluation.
    """
    codes, keys = pd.factorize(layout.cells.evaluate_key)
    return list(keys), Spread(codes)


@dataclass(frozen=True)
class Spread:
    """Turns the column `cell` from places of keys to places of cells."""

    codes: np.ndarray

    def __call__(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows, repeated for every cell that they are of."""
        if len(np.unique(self.codes)) == len(self.codes):
            return rows  # places of keys are places of cells
        places = pd.DataFrame({"cell": self.codes, "_own": np.arange(len(self.codes))})
        found = rows.merge(places, on="cell")
        return found.assign(cell=found._own).drop(columns="_own")


def kappa_weights(scope: Scope) -> dict[str, Weights]:
    """Return how kappa weighs disagreements: quadratic where classes are ordered."""
    return {
        name: "quadratic" if facts.ordinal else "unweighted"
        for name, facts in scope.tasks.items()
    }
