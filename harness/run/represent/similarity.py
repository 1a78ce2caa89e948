"""Analysis `similarity`: CKA of two fine-tuned networks."""

from __future__ import annotations

from ..node import Node
from .alignment import align
from .networks import after

ROLES = ("adapt.0", "adapt.1")


def analyse(node: Node) -> None:
    """Compute an analyse node into its attempt's folder. Raises DataError."""
    first, second = (after(node, role) for role in ROLES)
    align(node, first, second, ROLES)
