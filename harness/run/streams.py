"""Random streams: one generator per purpose, so that draws never shift each other.

A pretraining draws from its own key. An adaptation does not: its streams follow from
the data's fingerprint, the adaptation seed and the purpose alone, so that the arms of a
comparison (other methods, other label budgets) start from the same decoder or head
wherever its size agrees, and meet the same sequence of draws for batches and
augmentation. Arms are then paired by seed.
"""

from __future__ import annotations

import torch

from ..schema.identity import seed_for


class Streams:
    """Generators derived from one root text."""

    def __init__(self, root: str) -> None:
        self.root = root

    @classmethod
    def of_pretraining(cls, key: str) -> Streams:
        """Return the streams of a pretrain node."""
        return cls(key)

    @classmethod
    def of_adaptation(cls, fingerprint: str, seed: int) -> Streams:
        """Return the streams that all adaptations to some data with this seed share."""
        return cls(f"adapt:{fingerprint}:{seed}")

    def rng(self, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
        """Return a fresh generator on `device` for one purpose."""
        generator = torch.Generator(device=device)
        generator.manual_seed(seed_for(self.root, purpose))
        return generator
