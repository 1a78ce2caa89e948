"""No pretraining: the baseline that every pretrained encoder is compared with.

Same network, decoder, budget and augmentation as the compared arm, weights drawn at the
start of the adaptation (METHODS 1.1: truncated normal 0.02).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from harness.api import BaselineSettings, Method
from harness.nn.build import build_encoder
from harness.schema.roles import Role


class Random(Method):
    """An encoder as it is initialised."""

    Settings = BaselineSettings
    encoders: ClassVar[tuple[str, ...]] = ("swin", "vit", "resnet")
    dims: ClassVar[tuple[int, ...]] = (2, 3)
    version: ClassVar[int] = 1
    role: ClassVar[Role] = "baseline"

    def __init__(
        self, settings: BaselineSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__(settings, channels, rng)
        self.student = build_encoder(settings.encoder, channels, rng)

    def encoder(self) -> nn.Module:
        """Return the untrained encoder."""
        return self.student
