"""Maps of what a class token attends to, read block by block (METHODS 4.10)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...nn.channels import for_encoder, mean_of
from ...nn.features import Encoder
from ...nn.transformer import Attention
from ...schema.errors import DataError
from ..networks import Adapted
from .explicit_attention import layers_of, of_all

_MODES = {2: "bilinear", 3: "trilinear"}


def maps_of(
    network: Adapted, x: Tensor, *, block: int | None = None, rollout: bool = False
) -> Tensor:
    """Return `class_maps` of a network's encoder, the mean of channels that pass alone."""
    seen = for_encoder(x, network.takes)
    found = class_maps(network.encoder, seen, block=block, rollout=rollout)
    return mean_of(found, network.separate)


def class_maps(
    encoder: Encoder, x: Tensor, *, block: int | None = None, rollout: bool = False
) -> Tensor:
    """Return the class token's attention to each voxel, mean and single heads.

    x: (B, C, *sides); block: from 1, None the last. Returns (B, 1 + H, *sides), the mean
    over heads first; of rollout (B, 1, *sides), the product over the blocks up to it.
    Each map sums to 1 over the tokens of the grid before it is spread over voxels, which
    is done linearly. Raises DataError for an encoder without a class token's attention,
    or a block that it does not have.
    """
    blocks = _blocks(encoder)
    last = len(blocks) if block is None else block
    if not 1 <= last <= len(blocks):
        msg = f"there is no block {last}, the encoder attends in {len(blocks)}"
        raise DataError(msg)
    wanted = blocks[:last] if rollout else blocks[last - 1 : last]
    seen: list[Tensor] = []
    with torch.no_grad(), _reading(wanted, seen, keep_heads=not rollout):
        attention = encoder(x).attention
    assert attention is not None
    whole = rolled_out(seen)[:, None] if rollout else _with_mean(seen[0])
    rows = whole[:, :, 0, 1:]
    rows = rows / rows.sum(dim=-1, keepdim=True)
    grid = tuple(attention.shape[1:])
    return over_voxels(rows.reshape(*rows.shape[:2], *grid), encoder.unit, x.shape[2:])


def _blocks(encoder: nn.Module) -> list[Attention]:
    """Return the layers, in order, in which a class token attends to all tokens."""
    found = [one for one in layers_of(encoder).values() if isinstance(one, Attention)]
    if not found:
        kind = getattr(getattr(encoder, "settings", None), "kind", "network")
        msg = f"this {kind} has no class token whose attention could be drawn"
        raise DataError(msg)
    return found


def _with_mean(probabilities: Tensor) -> Tensor:
    mean = probabilities.mean(dim=1, keepdim=True)
    return torch.cat([mean, probabilities], dim=1)


@contextmanager
def _reading(
    blocks: Sequence[Attention], seen: list[Tensor], *, keep_heads: bool
) -> Iterator[None]:
    """Append the probabilities of blocks, (B, H, n, n), or their mean, (B, n, n)."""

    def hook(layer: Any, args: Any, output: Any) -> None:  # noqa: ARG001
        x = args[0]
        # Where tokens lie does not matter here: they count as a line.
        found = of_all(layer, x, (x.shape[1] - 1,)).probabilities
        seen.append(found if keep_heads else found.mean(dim=1))

    handles = [block.register_forward_hook(hook) for block in blocks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def rolled_out(attention: Sequence[Tensor]) -> Tensor:
    """Return attention rollout (B, n, n): the product of (A + 1) / 2 over blocks.

    attention: per block (B, n, n), rows of sum 1, mean over heads, the first block first.
    Abnar and Zuidema 2020, section 3: the residual connection counts as half.
    """
    one = torch.eye(attention[0].shape[-1]).to(attention[0])
    whole = one.expand_as(attention[0])
    for each in attention:
        mixed = (each + one) / 2
        whole = mixed / mixed.sum(dim=-1, keepdim=True) @ whole
    return whole


def over_voxels(maps: Tensor, unit: int, sides: Sequence[int]) -> Tensor:
    """Spread maps over tokens (B, M, *grid) linearly over voxels (B, M, *sides).

    unit: voxels per side of a token. What was padded at the far ends is cut off.
    """
    size = [n * unit for n in maps.shape[2:]]
    wide = functional.interpolate(
        maps.float(), size=size, mode=_MODES[len(size)], align_corners=False
    )
    for axis, side in enumerate(sides, start=2):
        wide = wide.narrow(axis, 0, side)
    return wide
