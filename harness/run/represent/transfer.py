"""Analysis `transfer`: what an encoder's vectors say before anything is adapted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import torch
from torch import Tensor

from ...nn.neighbours import left_out_accuracy
from ...nn.spread import (
    effective_rank,
    embedding_spread,
    rankme,
    spectrum_slope,
    uniformity,
)
from ...schema.analyses.transfer import Transfer
from ...schema.errors import DataError
from ..data import TaskData
from ..measured import Measured, write_features
from ..node import Node
from .explicit_attention import layers_of
from .heads import AttentionSpread, watching
from .networks import Crop, batches, before, choose_crops, settings_of, shape_of

LEAST = 4  # crops: of fewer a spectrum has no slope
_VECTORS = "pooled"  # the layer that quantities of image vectors are of
_HEADS = "heads"  # the layer of what is a mean over all heads


@torch.no_grad()
def analyse(node: Node) -> None:
    """Compute an analyse node into its attempt's folder. Raises DataError."""
    settings, sides = settings_of(node), shape_of(node).crop
    assert isinstance(settings, Transfer)
    data, network = node.data(), before(node)
    ids = data.check(node.where["cases"]["test"])
    crops = choose_crops(data, ids, sides, settings.samples)
    if len(crops) < LEAST:
        msg = (
            f"the {len(ids)} test cases of {data.name} give {len(crops)} crops, and "
            f"{LEAST} or more have a spectrum"
        )
        raise DataError(msg)
    spread = AttentionSpread(data.cached.spacing(data.cached.index_of(ids[0])))
    heads = bool(layers_of(network.encoder))
    parts = []
    with watching(network.encoder, spread, sides) if heads else nullcontext():
        for x in batches(node, data, crops, sides, settings.batch):
            parts.append(network.features(x).pooled.cpu())
    x = torch.cat(parts)
    if not x.isfinite().all():
        msg = f"the encoder gives vectors that are not finite on {data.name}"
        raise DataError(msg)
    rows = [*_of_vectors(x), *_of_heads(spread)]
    if data.spec.kind == "classification":
        rows.append(_of_neighbours(x, data, crops, settings))
    node.log(f"{len(rows)} quantities of {len(x)} crops")
    write_features(node, rows)


def _of_vectors(x: Tensor) -> Iterator[Measured]:
    """Yield what needs no labels. x: (n, width)."""
    for name, value in (
        ("effective_rank", effective_rank(x)),
        ("rankme", rankme(x)),
        ("spectrum_slope", spectrum_slope(x)),
        ("spread", embedding_spread(x)),
        ("uniformity", uniformity(x)),
    ):
        yield Measured(_VECTORS, name, value, len(x))


def _of_heads(spread: AttentionSpread) -> Iterator[Measured]:
    """Yield the mean entropy of all heads as a share of log keys, where there are any."""
    name = "attention_entropy_share"
    found = [row.value for row in spread.rows() if row.quantity == name]
    values = [value for value in found if value is not None]
    if values:
        yield Measured(_HEADS, name, sum(values) / len(values), len(values))


def _of_neighbours(
    x: Tensor, data: TaskData, crops: list[Crop], settings: Transfer
) -> Measured:
    """Return how often the nearest other images are of an image's class."""
    ids = list(dict.fromkeys(crop.case_id for crop in crops))
    case = torch.tensor([ids.index(crop.case_id) for crop in crops])
    y = torch.tensor([data.target(each) for each in ids])[case]
    value = left_out_accuracy(
        x, y, case, k=settings.neighbours, temperature=settings.temperature
    )
    return Measured(_VECTORS, "neighbour_accuracy", value, len(x))
