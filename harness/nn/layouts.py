"""Layouts of public checkpoints: the names and orders of other code bases, as ours.

`swin`: MONAI's SwinUNETR and its pretraining, SMIT. `vit`: DINO and 3DINO (names of
timm), MONAI. `resnet`: torchvision, VISSL, MedicalNet. `own`: names as they are here.
Numbers are what the released files hold; nothing is drawn or guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

from ..schema.errors import DataError
from .settings import AnySettings

Layout = Literal["own", "swin", "vit", "resnet"]
Merging = Literal["monai", "monai_legacy", "transmorph"]

# How a file's merge joins the eight corners; a corner counts in binary, the last axis
# fastest, as ours do. METHODS 0; MONAI's changelog 1.5 (#8285); TransMorph's and
# SMIT's released code.
CORNERS: Mapping[Merging, tuple[int, ...] | None] = {
    "monai": (0, 4, 2, 1, 6, 5, 3, 7),
    "transmorph": (0, 4, 2, 1, 6, 3, 5, 7),
    "monai_legacy": None,  # a network of its own: encoder {merging: legacy}
}
_IMAGE_CORNERS = (0, 2, 1, 3)  # MONAI's order of an image's, right in all versions

_Rule = tuple[str, str | Callable[[re.Match[str]], str]]


def _from_zero(found: re.Match[str]) -> str:
    return f"stages.{int(found[1]) - 1}."


_RULES: Mapping[Layout, tuple[_Rule, ...]] = {
    "own": (),
    "swin": (
        (r".*\.relative_position_index$", ""),
        (r"^norm\d?\..*", ""),  # of the outputs; ours are LayerNormed without weights
        (r"^patch_embed\.proj\.", "stem."),
        (r"^patch_embed\.norm\.", "stem_norm."),
        (r"^layers(\d)\.0\.", _from_zero),
        (r"^layers\.(\d)\.", r"stages.\1."),
        (r"\.attn\.relative_position_bias_table$", ".attention.offset_bias"),
        (r"\.attn\.qkv\.", ".attention.qkv."),
        (r"\.attn\.proj\.", ".attention.out."),
        (r"\.mlp\.(?:fc|linear)1\.", ".mlp.0."),
        (r"\.mlp\.(?:fc|linear)2\.", ".mlp.2."),
        (r"\.downsample\.reduction\.", ".merge.reduce."),
        (r"\.downsample\.norm\.", ".merge.norm."),
    ),
    "vit": (
        (r"^mask_token$", ""),
        (r"^cls_token$", "class_token"),
        (r"^(?:pos_embed|patch_embedding\.position_embeddings)$", "positions"),
        (r"^patch_embed\.proj\.", "stem."),
        (r"^patch_embedding\.patch_embeddings\.(?:\d\.)?", "stem."),
        (r"^blocks\.\d+\.(\d+)\.", r"blocks.\1."),  # DINOv2 keeps blocks in chunks
        (r"\.attn\.qkv\.", ".attention.qkv."),
        (r"\.attn\.(?:out_)?proj\.", ".attention.out."),
        (r"\.ls([12])\.gamma$", r".scale\1.gain"),
        (r"\.mlp\.(?:fc|linear)1\.", ".mlp.0."),
        (r"\.mlp\.(?:fc|linear)2\.", ".mlp.2."),
    ),
    "resnet": (
        (r"^(?:fc|conv_seg)\..*", ""),
        (r"^_feature_blocks\.", ""),
        (r"^conv1\.", "stem."),
        (r"^bn1\.", "stem_norm."),
        (r"^layer(\d)\.", _from_zero),
        (r"\.bn(\d)\.", r".norm\1."),
        (r"\.downsample\.", ".shortcut."),
    ),
}


def arranged(
    theirs: Mapping[str, Tensor],
    layout: Layout,
    encoder: AnySettings,
    merging: Merging | None,
) -> dict[str, Tensor]:
    """Return the tensors of a file under our names and in our order.

    theirs: without the prefixes of what was wrapped around the encoder. What a layout
    knows to be no part of an encoder (position indices, classifiers) is left out; other
    names are kept as they are. Raises DataError where two tensors get one name.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in theirs.items():
        ours = name
        for pattern, replacement in _RULES[layout]:
            ours = re.sub(pattern, replacement, ours)
        if not ours:
            continue
        if ours in found:
            msg = f"two tensors of the file become {ours}, one of them {name}: 'strip' less"
            raise DataError(msg)
        found[ours] = tensor
    return _ORDERS[layout](found, encoder, merging)


def _as_it_is(
    found: dict[str, Tensor],
    encoder: AnySettings,  # noqa: ARG001
    merging: Merging | None,  # noqa: ARG001
) -> dict[str, Tensor]:
    return found


def _merges(
    found: dict[str, Tensor], encoder: AnySettings, merging: Merging | None
) -> dict[str, Tensor]:
    """Put the input channels of every merge into our order of corners."""
    order = _IMAGE_CORNERS if encoder.dims == 2 else merging and CORNERS[merging]
    if order is None:
        return found
    inverse = [order.index(corner) for corner in range(len(order))]
    for name, tensor in found.items():
        if ".merge." in name and tensor.shape[-1] % len(order) == 0:
            parts = tensor.reshape(*tensor.shape[:-1], len(order), -1)
            found[name] = parts[..., inverse, :].flatten(-2)
    return found


def _tokens(
    found: dict[str, Tensor],
    encoder: AnySettings,
    merging: Merging | None,  # noqa: ARG001
) -> dict[str, Tensor]:
    """Part the class token's position; turn a linear patch embedding into a convolution."""
    positions = found.get("positions")
    if positions is not None and positions.ndim == 3:
        count, dims = positions.shape[1], encoder.dims
        if not _is_power(count, dims) and _is_power(count - 1, dims):
            found["class_position"] = positions[0, 0]
            found["positions"] = positions[:, 1:]
        else:  # MONAI's class token has no position
            found.setdefault("class_position", positions.new_zeros(positions.shape[2]))
    stem = found.get("stem.weight")
    if stem is not None and stem.ndim == 2:
        sides = (encoder.patch,) * encoder.dims
        voxels = torch.Size(sides).numel()
        if stem.shape[1] % voxels == 0:  # (C, p, p, p, channels), MONAI's perceptron
            found["stem.weight"] = stem.reshape(len(stem), *sides, -1).movedim(-1, 1)
    return found


def _is_power(count: int, dims: int) -> bool:
    return count > 0 and round(count ** (1 / dims)) ** dims == count


_Order = Callable[[dict[str, Tensor], AnySettings, Merging | None], dict[str, Tensor]]
_ORDERS: Mapping[Layout, _Order] = {
    "own": _as_it_is,
    "swin": _merges,
    "vit": _tokens,
    "resnet": _as_it_is,
}
