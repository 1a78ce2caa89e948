"""A frozen encoder and a head on its image vectors (METHODS 2.5, 2.8)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..nn.centres import Centres
from ..nn.channels import together
from ..nn.features import Layer
from ..nn.heads import LinearHead
from ..nn.linear_decoder import LinearDecoder
from ..nn.neighbours import Neighbours
from .networks import Adapted, Shape
from .streams import Streams


class Probe(Adapted):
    """A frozen encoder and a head on its image vectors (METHODS 2.5, 2.8).

    (B, C, *crop) to (B, classes). blocks: how many of the last layers' vectors are side
    by side; average: whether the mean token follows. A subclass says what the head is.
    """

    head: nn.Module

    def __init__(
        self, shape: Shape, streams: Streams, *, blocks: int = 1, average: bool = False
    ) -> None:
        super().__init__(shape, streams)
        self.freeze_encoder()
        self.blocks, self.average = blocks, average
        own = self.encoder
        widths = [*own.layer_widths[-blocks:-1], own.pooled_width]
        widths += [own.layer_widths[-1]] if average else []
        self.width = sum(widths) * self.separate

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of every class."""
        layers = self.last_layers(x, self.blocks)
        vectors = [each.vector for each in layers]
        if self.average:
            vectors.append(mean_token(layers[-1], self.separate))
        logits: Tensor = self.head(torch.cat(vectors, dim=1))
        return logits


class LinearProbe(Probe):
    """The head is one linear layer."""

    head: LinearHead

    def __init__(
        self, shape: Shape, streams: Streams, *, blocks: int = 1, average: bool = False
    ) -> None:
        super().__init__(shape, streams, blocks=blocks, average=average)
        self.head = LinearHead(self.width, shape.classes, streams.rng("head"))


class NeighbourProbe(Probe):
    """The head looks up the `count` training cases; nothing is trained."""

    head: Neighbours

    def __init__(
        self, shape: Shape, streams: Streams, *, k: int = 1, count: int = 1
    ) -> None:
        super().__init__(shape, streams)
        self.head = Neighbours(
            self.width, count, shape.classes, k=k,
            temperature=float(shape.protocol["temperature"]),
        )  # fmt: skip


class CentreProbe(Probe):
    """The head knows where each class lies; nothing is trained."""

    head: Centres

    def __init__(self, shape: Shape, streams: Streams) -> None:
        super().__init__(shape, streams)
        self.head = Centres(self.width, shape.classes)


def mean_token(layer: Layer, separate: int) -> Tensor:
    """Return the mean of a layer's map, channels that passed alone side by side."""
    return together(layer.map.flatten(2).mean(dim=2), separate)


class PatchProbe(Adapted):
    """A frozen encoder and one linear layer on the tokens of its last layers.

    (B, C, *crop) to a logit per voxel, as networks.LinearSegmenter; but of channels that
    pass alone the tokens stand side by side, without a layer between, so that it stays
    linear.
    """

    def __init__(self, shape: Shape, streams: Streams) -> None:
        super().__init__(shape, streams)
        self.freeze_encoder()
        self.layers = int(shape.protocol["layers"])
        widths = self.encoder.layer_widths[-self.layers :]
        self.decoder = LinearDecoder(
            [width * self.separate for width in widths],
            self.encoder.layer_strides[-self.layers :],
            1, shape.classes, streams.rng("decoder"), dims=self.encoder.dims,
        )  # fmt: skip

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the tokens of the layers that are read, (B, widths[i], *grid_i)."""
        layers = self.last_layers(x, self.layers)
        return [together(each.map, self.separate) for each in layers]

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of every voxel."""
        logits: Tensor = self.decoder(self.maps(x), x.shape[2:])
        return logits
