"""Analysis `pca`: principal components of tokens, as colours (METHODS 4.10)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...nn.channels import mean_of
from ...nn.components import Components, components
from ...schema.analyses.pca import Pca
from ...schema.errors import DataError
from ..data import TaskData
from ..measured import Measured, write_features
from ..networks import Adapted
from ..node import Node
from .networks import Crop, batches, before, choose_crops, settings_of, shape_of

COLOURS = 3  # after the first component, which parts foreground from background
LEAST = 4  # volumes: of fewer, components are those of single patients
_ENOUGH = 64  # tokens per crop of the layer that is read by default


class Coloured(NamedTuple):
    """colours: (n, *grid, 3) bytes, black in the background; foreground: its share."""

    colours: NDArray[np.uint8]
    foreground: float


@torch.no_grad()
def analyse(node: Node) -> None:
    """Compute an analyse node into its attempt's folder. Raises DataError.

    pca.npz beside the rows: case_ids (n,), spacing (dims,) in mm, images (n, *sides) and
    colours `joint` and `alone` (n, *grid, 3), bytes, of the first volumes.
    """
    settings, crop = settings_of(node), shape_of(node).crop
    assert isinstance(settings, Pca)
    data, network = node.data(), before(node)
    ids = data.check(node.where["cases"]["test"])
    sizes = [data.cached.shape(data.cached.index_of(each)) for each in ids]
    room = tuple(map(min, zip(*sizes, strict=True)))
    step = max(network.encoder.layer_strides)
    sides = region_sides(crop, settings.sides, room, step)
    crops = choose_crops(data, ids, sides, min(settings.samples, len(ids)))
    if len(crops) < LEAST:
        msg = (
            f"{data.name} has {len(crops)} test cases, and components of tokens are "
            f"those of {LEAST} or more"
        )
        raise DataError(msg)
    place = _layer(network, settings.layer, crop)
    tokens: list[Tensor] = []
    images: list[Tensor] = []
    for x in batches(node, data, crops, sides, settings.batch):
        layers = network.last_layers(x, place)
        tokens += mean_of(layers[0].map, network.separate).cpu().unbind()
        images += x.mean(dim=1).cpu().unbind()
    found = components(map(_rows, tokens), 1 + COLOURS)
    _check(found, tokens, data.name)
    joint = colour(found, tokens, images)
    alone = [
        colour(components([_rows(one)], 1 + COLOURS), [one], [image])
        for one, image in zip(tokens, images, strict=True)
    ]
    name = f"layer {place} from the end"
    rows = [
        Measured(name, f"variance of component {number + 1}", float(share), found.count)
        for number, share in enumerate(found.shares)
    ]
    rows.append(Measured(name, "foreground", joint.foreground, found.count))
    node.log(f"components of {found.count} tokens of {len(crops)} volumes")
    write_features(node, rows)
    kept = min(settings.shown, len(crops))
    np.savez_compressed(
        node.attempt.path("pca.npz"),
        case_ids=_names(crops[:kept]),
        spacing=np.array(_spacing(data, crops[0])),
        images=np.stack([_bytes(each) for each in images[:kept]]),
        joint=joint.colours[:kept],
        alone=np.concatenate([each.colours for each in alone[:kept]]),
    )  # fmt: skip


def region_sides(
    crop: Sequence[int], times: float, room: Sequence[int], step: int
) -> list[int]:
    """Return the sides of a region: those of a crop, `times` as long where there is room.

    room: what every volume has, since the middle of a region shall not be the edge of a
    small one; step: longer sides are multiples of it, so that no token sees padding.

    >>> region_sides((32, 32, 32), 2.0, (100, 50, 20), 16)
    [64, 48, 32]
    """
    longest = (
        min(round(times * side), most) // step * step
        for side, most in zip(crop, room, strict=True)
    )
    return [max(side, more) for side, more in zip(crop, longest, strict=True)]


def _layer(network: Adapted, asked: int | None, crop: Sequence[int]) -> int:
    """Return which layer is read, counted from the end. Raises DataError."""
    strides = network.encoder.layer_strides
    if asked is not None:
        if asked > len(strides):
            msg = f"layer: {asked} from the end, and this encoder has {len(strides)}"
            raise DataError(msg)
        return asked
    counts = [math.prod(max(1, side // stride) for side in crop) for stride in strides]
    enough = [n for n, count in enumerate(reversed(counts), 1) if count >= _ENOUGH]
    return enough[0] if enough else len(counts) - int(np.argmax(counts))


def _rows(tokens: Tensor) -> Tensor:
    """(C, *grid) to (tokens, C)."""
    return tokens.flatten(1).T


def _check(found: Components, tokens: Sequence[Tensor], task: str) -> None:
    """Raise DataError for tokens of which there are no components."""
    if not all(each.isfinite().all() for each in tokens):
        msg = f"the encoder gives tokens that are not finite on {task}"
        raise DataError(msg)
    apart = max(float((_rows(one) - found.mean).abs().max()) for one in tokens)
    if apart <= 1e-6 * float(found.mean.abs().max()):
        msg = f"the encoder gives the same token everywhere on {task}"
        raise DataError(msg)


def colour(
    found: Components, tokens: Sequence[Tensor], images: Sequence[Tensor]
) -> Coloured:
    """Return the colours of volumes' tokens, (C, *grid) each.

    Foreground are the tokens on that side of the first component's mean on which images
    (*sides), in [0, 1], are brighter: air and the outside of a scan are dark. The next
    three components, from their least to their largest value in the foreground of all
    these volumes, are red, green and blue.
    """
    grid = tokens[0].shape[1:]
    scores = torch.stack([found(_rows(each)) for each in tokens])  # (n, tokens, 4)
    bright = torch.stack([_to_grid(each, grid).flatten() for each in images])
    first = scores[..., 0] > 0
    if first.any() and not first.all() and bright[first].mean() < bright[~first].mean():
        first = ~first
    shown = scores[..., 1:]
    if first.any():
        low, high = shown[first].amin(dim=0), shown[first].amax(dim=0)
        shown = (shown - low) / (high - low).clamp(min=1e-12)
    lacking = COLOURS - shown.shape[-1]  # of an encoder with fewer channels
    shown = torch.nn.functional.pad(shown, (0, lacking))
    shown = torch.where(first[..., None], shown.clamp(0, 1), 0.0)
    colours = (255 * shown).round().to(torch.uint8)
    return Coloured(
        colours.view(len(tokens), *grid, COLOURS).numpy(), float(first.double().mean())
    )


def _to_grid(image: Tensor, grid: Sequence[int]) -> Tensor:
    """Return the mean intensity around each token."""
    pooled: Tensor = torch.nn.functional.interpolate(
        image[None, None].float(), size=list(grid), mode="area"
    )
    return pooled[0, 0]


def _bytes(image: Tensor) -> NDArray[np.uint8]:
    return (255 * image.clamp(0, 1)).round().to(torch.uint8).numpy()


def _spacing(data: TaskData, crop: Crop) -> tuple[float, ...]:
    return tuple(data.cached.spacing(data.cached.index_of(crop.case_id)))


def _names(crops: Sequence[Crop]) -> np.ndarray:
    return np.array([crop.case_id for crop in crops], dtype=np.str_)
