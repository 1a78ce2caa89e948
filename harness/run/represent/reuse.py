"""Analysis `reuse`: CKA of a network before and after fine-tuning."""

from __future__ import annotations

from ..node import Node
from .alignment import align
from .networks import after, before


def analyse(node: Node) -> None:
    """Compute an analyse node into its attempt's folder. Raises DataError."""
    align(node, before(node), after(node), ("adapt", "adapt"))
