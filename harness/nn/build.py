"""From an encoder's settings to the network."""

from __future__ import annotations

import torch

from .features import Encoder
from .resnet import ResNet
from .settings import AnySettings, ResNetSettings, ViTSettings
from .swin import Swin
from .vit import ViT


def build_encoder(
    settings: AnySettings, channels: int, rng: torch.Generator
) -> Encoder:
    """Return the encoder for `channels` input channels; weights come from `rng`."""
    if isinstance(settings, ViTSettings):
        return ViT(settings, channels, rng)
    if isinstance(settings, ResNetSettings):
        return ResNet(settings, channels, rng)
    return Swin(settings, channels, rng)
