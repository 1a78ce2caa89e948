"""What methods have in common that differ in the size of corpus or encoder alone."""

from __future__ import annotations

from typing import NamedTuple


class Recipe(NamedTuple):
    """How a method gets its weights, in four parts.

    objective: digits of all settings but those of the encoder; corpus: of the whole
    corpus; encoder: of the encoder's settings; share: of the corpus. Methods that differ
    in the share alone make a curve over corpus sizes, in the encoder alone a curve over
    sizes of encoders; in the corpus alone they compare corpora, such as modalities.
    """

    objective: str
    corpus: str
    encoder: str
    share: float

    def __str__(self) -> str:
        """Return the parts as labels of nodes hold them."""
        return f"{self.objective} {self.corpus} {self.encoder} {self.share:.10g}"

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """Read what str() makes. Raises ValueError for anything else."""
        objective, corpus, encoder, share = text.split()
        return cls(objective, corpus, encoder, float(share))
