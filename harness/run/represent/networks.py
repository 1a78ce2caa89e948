"""The networks that an analysis looks at, and the crops that it shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

import torch
from torch import Tensor

from ...schema.analyses import ANALYSES, AnalysisSettings
from ...schema.errors import DataError
from ..adapt import start
from ..adapt.batches import case_image
from ..data import TaskData
from ..networks import Adapted, Model, Shape
from ..node import Node


def settings_of(node: Node) -> AnalysisSettings:
    """Return the resolved settings of an analyse node."""
    return ANALYSES[node.stem].model_validate(node.identity["settings"])


def before(node: Node, role: str = "adapt") -> Adapted:
    """Return the network that an adaptation started from, in evaluation mode."""
    key = str(node.identity["inputs"][role])
    adapt = Node(node.store, node.store.spec(key), node.attempt, node.device)
    shape = start.shape_of(adapt.identity["settings"])
    return _single(start.build_network(adapt, shape).eval())


def after(node: Node, role: str = "adapt") -> Adapted:
    """Return the network that an adaptation published, in evaluation mode."""
    network, _ = start.load_model(node.store, str(node.identity["inputs"][role]))
    return _single(network.to(node.device))


def _single(network: Model) -> Adapted:
    if isinstance(network, Adapted):
        return network
    msg = (
        "analyses look at one encoder: name methods that are neither fusion nor system"
    )
    raise DataError(msg)


def shape_of(node: Node, role: str = "adapt") -> Shape:
    """Return what an adaptation's identity says of its network."""
    key = str(node.identity["inputs"][role])
    return Shape.of(node.store.spec(key)["identity"]["settings"])


def method_of(node: Node, role: str = "adapt") -> str:
    """Return what the method of an adaptation is called, for sentences."""
    spec = node.store.spec(str(node.identity["inputs"][role]))
    return str(spec["labels"]["method"])


@dataclass(frozen=True)
class Crop:
    """A part of a test case: where it begins, in voxels of the network's grid."""

    case_id: str
    start: tuple[int, ...]


def choose_crops(
    data: TaskData, ids: Sequence[str], sides: Sequence[int], count: int
) -> list[Crop]:
    """Return at most `count` different crops of cases, the same for every network.

    Cases come in the order of a hash of their ids, each once before any comes again; the
    first crop of a case is its centre, others lie where a hash of case and number says.
    """
    ordered = sorted(ids, key=lambda one: sha256(one.encode()).digest())
    found: dict[Crop, None] = {}
    rounds = -(-count // max(1, len(ordered))) * 4  # small volumes repeat themselves
    for number in range(rounds):
        for case_id in ordered:
            if len(found) == count:
                return list(found)
            size = data.cached.shape(data.cached.index_of(case_id))
            room = [max(0, n - side) for n, side in zip(size, sides, strict=True)]
            start = tuple(_place(case_id, number, room))
            found[Crop(case_id, start)] = None
    return list(found)


def _place(case_id: str, number: int, room: Sequence[int]) -> Iterator[int]:
    if number == 0:
        yield from (more // 2 for more in room)
        return
    drawn = sha256(f"{case_id} {number}".encode()).digest()
    for axis, more in enumerate(room):
        yield int.from_bytes(drawn[4 * axis : 4 * axis + 4]) % (more + 1)


def batches(
    node: Node,
    data: TaskData,
    crops: Sequence[Crop],
    sides: Sequence[int],
    size: int,
) -> Iterator[Tensor]:
    """Yield batches of crops, (B, C, *sides) in [0, 1] on the node's device.

    A volume that is smaller than the crop is padded with 0.
    """
    for first in range(0, len(crops), size):
        cut = []
        for crop in crops[first : first + size]:
            image = case_image(data, crop.case_id, node)
            box = tuple(
                slice(start, start + side)
                for start, side in zip(crop.start, sides, strict=True)
            )
            part = image[(slice(None), *box)]
            pads = [
                end
                for have, side in zip(
                    reversed(part.shape[1:]), reversed(list(sides)), strict=True
                )
                for end in (0, side - have)
            ]
            cut.append(torch.nn.functional.pad(part, pads))
        yield torch.stack(cut)
