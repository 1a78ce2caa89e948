"""What a page is told by whoever asks for it, beside the findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ..figures.drawing import Drawing, NothingToDraw
from ..findings import Findings

# As `harness status` names them, the best first.
STATES = ("done", "running", "pending", "failed", "blocked", "lost", "missing")


@dataclass(frozen=True)
class Standing:
    """How a cell or a pretraining stands. what: it in words; log: path of its output."""

    what: str
    state: str
    reason: str = ""
    log: str = ""


@dataclass(frozen=True)
class Account:
    """Everything a page says.

    standings: by the first 16 digits of a cell's evaluate key, or of a pretraining's;
    a cell without one is as its row says. benchmark: text of the benchmark file, empty
    where there is none; changed: a sentence per content file that has changed since,
    None where that is not known; made: when the report was begun.
    """

    findings: Findings
    drawings: Sequence[Drawing | NothingToDraw] = ()
    title: str = ""
    benchmark: str = ""
    standings: Mapping[str, Standing] = field(default_factory=dict)
    changed: Sequence[str] | None = None
    made: datetime | None = None

    def of_family(self, *families: str) -> list[Drawing]:
        """Return the drawings of some families, in their order."""
        return [
            drawing
            for drawing in self.drawings
            if isinstance(drawing, Drawing) and drawing.family in families
        ]

    def state(self, key: str, otherwise: str) -> str:
        """Return the state of a cell, by its evaluate key."""
        standing = self.standings.get(key[:16])
        return standing.state if standing is not None else otherwise

    def counts(self) -> Counter[str]:
        """Return how many cells are in each state."""
        cells = self.findings.scope.cells
        return Counter(
            self.state(key, state)
            for key, state in zip(cells.evaluate_key, cells.state, strict=True)
        )
