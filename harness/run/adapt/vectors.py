"""Image vectors of a frozen encoder: computed once, kept beside the cached voxels.

What they follow from is hashed into the name of their folder: the weights themselves,
the encoder's settings, the crop, the fingerprint of the data. So they are never stale,
every protocol, label budget and seed with the same encoder shares them, and the folder
may be deleted at any time. Cases pass the encoder in groups that only the task's listing
decides about: a vector's last bits do not hang on which cases are wanted, on how many
processes there are, or on which of them came first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ...nn.features import Encoder
from ...schema.identity import digest, short
from ...store.durable import write_bytes
from ..checkpoint import encoder_state
from ..data import TaskData
from ..networks import Adapted, Shape
from ..node import Node
from ..probes import mean_token
from .classify import through

LAYERS = 4  # the most that a probe reads: METHODS 2.5
VERSION = 1  # of what is kept
_GROUP = {2: 64, 3: 8}  # cases that pass together, images and volumes; chosen here


@dataclass(frozen=True)
class ImageVectors:
    """Vectors of n cases, float32 on the CPU.

    layers: (n, C_i) of the last layers, at most LAYERS of them, the last one last.
    average: (n, C), the mean token of the last layer.
    """

    layers: tuple[Tensor, ...]
    average: Tensor

    @property
    def pooled(self) -> Tensor:
        """The image vector of `Features.pooled`, (n, C)."""
        return self.layers[-1]

    def joined(self, blocks: int, *, average: bool) -> Tensor:
        """Return the last `blocks` layers side by side, and the mean token after them."""
        return torch.cat(
            [*self.layers[-blocks:], *([self.average] if average else [])], dim=1
        )


class FrozenVectors:
    """The vectors of a task's cases from the encoder of a network, as it is now."""

    def __init__(
        self, node: Node, data: TaskData, network: Adapted, shape: Shape
    ) -> None:
        network.freeze_encoder()
        network.eval()
        self._node, self._data, self._shape = node, data, shape
        self._network = network
        self._count = min(LAYERS, len(network.encoder.layer_widths))
        fingerprint = data.cached.fingerprint
        # Images that somebody only wants predicted are no part of the task's data.
        self._keeps = fingerprint == node.identity["data"]["fingerprint"]
        about: dict[str, Any] = {
            "version": VERSION,
            "data": fingerprint,
            "weights": weights_hash(network.encoder),
            "encoder": shape.encoder.model_dump(mode="json"),
            "channels": [shape.channels, shape.encoder_channels],
            "crop": list(shape.crop),
            "device": node.device.type,
            "dtype": str(torch.get_default_dtype()),
        }
        self.folder = node.store.cache / "features" / short(digest(about))
        self._about = {**about, "cache": str(node.where["cache"][node.task])}
        size = _GROUP[network.encoder.dims]
        ids = sorted(set(data.refs) - set(data.cached.unreadable))
        self._groups = [ids[first : first + size] for first in range(0, len(ids), size)]
        self._place = {each: divmod(n, size) for n, each in enumerate(ids)}

    def of(self, ids: Sequence[str]) -> ImageVectors:
        """Return the vectors of cases, in this order; what is missing is computed."""
        places = [self._place[each] for each in ids]
        groups = {
            number: self._group(number) for number in sorted({g for g, _ in places})
        }
        rows = {
            name: torch.stack([groups[group][name][row] for group, row in places])
            for name in self._names()
        }
        *layers, average = (rows[name] for name in self._names())
        return ImageVectors(tuple(layers), average)

    def _names(self) -> list[str]:
        return [*(f"layer.{n}" for n in range(self._count, 0, -1)), "average"]

    def _group(self, number: int) -> dict[str, Tensor]:
        if not self._keeps:
            return self._compute(self._groups[number])
        path = self.folder / f"{number:06d}.safetensors"
        try:
            return load_file(path)
        except (OSError, SafetensorError):  # not there yet, or damaged
            found = self._compute(self._groups[number])
            self._keep(path, found)
            return found

    def _compute(self, ids: Sequence[str]) -> dict[str, Tensor]:
        def flat(images: Tensor) -> Tensor:
            return torch.cat(self._vectors(images), dim=1)

        joined = through(self._node, self._data, ids, self._shape, flat, batch=len(ids))
        parts = torch.split(joined, self._widths(), dim=1)
        return {
            name: each.contiguous()
            for name, each in zip(self._names(), parts, strict=True)
        }

    def _vectors(self, images: Tensor) -> list[Tensor]:
        layers = self._network.last_layers(images, self._count)
        average = mean_token(layers[-1], self._network.separate)
        return [*(each.vector for each in layers), average]

    def _widths(self) -> list[int]:
        encoder, alone = self._network.encoder, self._network.separate
        layers = [*encoder.layer_widths[-self._count : -1], encoder.pooled_width]
        return [width * alone for width in (*layers, encoder.layer_widths[-1])]

    def _keep(self, path: Path, found: dict[str, Tensor]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        about = self.folder / "about.json"
        if not about.exists():
            text = json.dumps(self._about, indent=1, sort_keys=True) + "\n"
            write_bytes(about, text.encode())
        write_bytes(path, save(found))


def weights_hash(encoder: Encoder) -> str:
    """Return the sha256 of an encoder's tensors, names and bytes."""
    found = sha256()
    for name, value in sorted(encoder_state(encoder).items()):
        plain = value.detach().to("cpu").contiguous()
        found.update(f"{name}|{plain.dtype}|{tuple(plain.shape)}|".encode())
        found.update(plain.view(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
