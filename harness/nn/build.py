"""From an encoder's settings to the network."""

from __future__ import annotations

import torch

from .features import Encoder
from .settings import SwinSettings, ViTSettings
from .swin import Swin
from .vit import ViT


def build_encoder(
    settings: SwinSettings | ViTSettings, channels: int, rng: torch.Generator
) -> Encoder:
    """Return the encoder for `channels` input channels; weights come from `rng`."""
    if isinstance(settings, ViTSettings):
        return ViT(settings, channels, rng)
    return Swin(settings, channels, rng)
