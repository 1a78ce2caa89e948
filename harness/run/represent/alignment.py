"""CKA of two networks on the same crops, as rows of the features table."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from ...schema.analyses.reuse import CKASettings
from ...schema.errors import DataError
from ...schema.identity import short
from ..measured import Measured, write_features
from ..networks import Adapted, Shape
from ..node import Node
from .cka import CKA, LEAST, gram
from .layers import layers_of, reading
from .networks import batches, choose_crops, method_of, settings_of, shape_of


def align(node: Node, first: Adapted, second: Adapted, roles: tuple[str, str]) -> None:
    """Compare two networks layer by layer; write features.parquet and cka.npz.

    roles: of the adaptations among the node's inputs that they belong to. Raises
    DataError where they take other inputs, where a layer does not exist or where there
    are too few crops.
    """
    settings = settings_of(node)
    assert isinstance(settings, CKASettings)
    one, two = (shape_of(node, role) for role in roles)
    names = [method_of(node, role) for role in roles]
    if (one.crop, one.channels) != (two.crop, two.channels):
        msg = (
            f"{names[0]} and {names[1]} have different inputs and cannot be compared: "
            f"{_input(one)} and {_input(two)}; give both one crop, or name 'methods' "
            "that share theirs"
        )
        raise DataError(msg)
    data = node.data()
    ids = data.check(node.where["cases"]["test"])
    crops = choose_crops(data, ids, one.crop, settings.samples)
    if len(crops) < LEAST:
        msg = (
            f"the {len(ids)} test cases of {data.name} give {len(crops)} crops, and CKA "
            f"takes {LEAST} or more"
        )
        raise DataError(msg)
    crops = crops[: _whole(len(crops), settings.batch)]
    rows, columns = (
        layers_of(net, settings.layers, called=f"the network of {name}")
        for net, name in zip((first, second), names, strict=True)
    )
    rng = torch.Generator().manual_seed(int(short(node.key)[:12], 16))
    found = CKA(len(rows), len(columns), draws=settings.draws, rng=rng)
    with torch.no_grad():
        for x in batches(node, data, crops, one.crop, settings.batch):
            found.update(_grams(first, rows, x), _grams(second, columns, x))
    node.log(f"{len(rows)} x {len(columns)} layers on {found.samples} crops")
    write_features(node, list(_rows(found, list(rows), list(columns))))
    np.savez_compressed(
        node.attempt.path("cka.npz"),
        cka=found.value().numpy(),
        rows=np.array(list(rows), dtype=np.str_),
        columns=np.array(list(columns), dtype=np.str_),
    )


def _input(shape: Shape) -> str:
    sides = " x ".join(map(str, shape.crop))
    return f"crops of {sides} voxels, channels: {shape.channels}"


def _whole(count: int, batch: int) -> int:
    """Return how many crops fill batches of which none has fewer than four."""
    rest = count % batch
    return count - rest if rest < LEAST else count


def _grams(network: Adapted, layers: dict[str, nn.Module], x: Tensor) -> Tensor:
    """Return the Gram matrices of layers (L, n, n); activations are let go at once.

    Where channels go through the encoder one by one, a sample's are joined.
    """
    found: dict[str, Tensor] = {}

    def take(name: str, value: Tensor) -> None:
        found[name] = gram(value.reshape(len(x), -1))

    with reading(layers, take):
        network(x)
    return torch.stack([found[name] for name in layers])


def _rows(found: CKA, rows: list[str], columns: list[str]) -> Iterator[Measured]:
    """Yield the whole map, and the interval of every layer with its namesake.

    n: crops, and of an interval the batches that were drawn from.
    """
    value, ends = found.value(), found.interval()
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            pair, cka = f"{row} | {column}", _number(value[i, j])
            yield Measured(pair, "cka", cka, found.samples)
        if row in columns:
            j = columns.index(row)
            yield Measured(row, "cka", _number(value[i, j]), found.samples)
            if ends is not None:
                for name, end in zip(("cka_low", "cka_high"), ends, strict=True):
                    yield Measured(row, name, _number(end[i, j]), found.batches)


def _number(value: Tensor) -> float | None:
    """Return a number, or None where a layer is constant."""
    number = float(value)
    return None if math.isnan(number) else number
