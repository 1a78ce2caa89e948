"""From an encoder's settings to the network."""

from __future__ import annotations

import torch

from .swin import Swin, SwinSettings


def build_encoder(settings: SwinSettings, channels: int, rng: torch.Generator) -> Swin:
    """Return the encoder for `channels` input channels; weights come from `rng`."""
    return Swin(settings, channels, rng)
