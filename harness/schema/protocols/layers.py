"""How many layers of an encoder a protocol can read, by the encoder's settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def layers_of(encoder: Mapping[str, Any]) -> int:
    """Return how many layers `Encoder.last_layers` of harness/nn can return.

    A ViT has its blocks; others a map per stage and one more, a Swin after its last
    merge and a ResNet, where its stem halves, before its first stage.
    """
    if encoder["kind"] == "vit":
        return int(encoder["depth"])
    more = encoder["kind"] != "resnet" or encoder["stem"] == "imagenet"
    return len(encoder["depths"]) + int(more)


def too_few_layers(encoder: Mapping[str, Any], wanted: int, setting: str) -> str | None:
    """Return why `wanted` last layers cannot be read, or None; setting: who asks."""
    have = layers_of(encoder)
    if wanted <= have:
        return None
    return (
        f"{setting} asks for the last {wanted} layers, and this {encoder['kind']} has "
        f"{have}: the nearest is {have}"
    )
