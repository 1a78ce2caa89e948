"""What methods have in common that differ in the size of corpus or encoder alone."""

from __future__ import annotations

from typing import NamedTuple


class Recipe(NamedTuple):
    """How a method gets its weights, in three parts.

    objective: digits of all settings but those of the encoder, and of the whole corpus;
    encoder: digits of the encoder's settings; share: of its corpus. Methods of one
    objective and encoder make a curve over corpus sizes, those of one objective and
    share a curve over sizes of encoders.
    """

    objective: str
    encoder: str
    share: float

    def __str__(self) -> str:
        """Return the parts as labels of nodes hold them."""
        return f"{self.objective} {self.encoder} {self.share:.10g}"

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """Read what str() makes. Raises ValueError for anything else."""
        objective, encoder, share = text.split()
        return cls(objective, encoder, float(share))
