"""Linear probe: one linear layer on vectors of a frozen encoder (METHODS 2.5, 2.6).

Each case gives its vectors once, from the centre of its volume (see classify). A layer
for every point of the grid is trained on the same batches, none knowing of the others;
the one that is best on validation is kept, as the head of an ordinary network. What
every point scored, on both sides, is in features.parquet: with few validation cases the
best of many looks better than it is.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...nn.heads import LinearHead
from ...schema.errors import DataError
from ...schema.protocols import LinearProbe
from ..curves import Curves
from ..measured import Measured, write_features
from ..networks import Adapted, Shape
from ..node import Node
from ..optimise import Diverged
from ..outputs import named_output
from ..probes import LinearProbe as Network
from .heads import Descent, Heads, train_heads
from .implementation import Implementation
from .probe import ProbePredictor, keep_gap, sides, validation
from .start import INPUT, build_network, protocol_of, save_model, streams_of
from .vectors import ImageVectors

_SMALLEST_STD = 1e-6  # a feature that never varies stays at 0


class Input(NamedTuple):
    """What a head sees: how many of the last layers, and whether the mean token."""

    blocks: int
    average: bool

    def __str__(self) -> str:
        return f"blocks={self.blocks}{' average' if self.average else ''}"

    def of(self, vectors: ImageVectors) -> Tensor:
        """Return the features (n, C)."""
        return vectors.joined(self.blocks, average=self.average)


class Point(NamedTuple):
    """A point of the grid, trained: its score in validation, None where undefined."""

    input: Input
    lr: float
    score: float | None
    loss: float
    train_score: float | None


def linear_probe(node: Node) -> None:
    """Compute an adapt node of protocol `linear_probe` into its attempt's folder."""
    protocol = protocol_of(node)
    assert isinstance(protocol, LinearProbe)
    shape = Shape.of(node.identity["settings"])
    data = node.data()
    network = build_network(node, shape)
    assert isinstance(network, Adapted)
    train, val = sides(node, data, network, shape)
    streams = streams_of(node)
    descent = Descent(
        protocol.steps, protocol.batch, protocol.momentum, protocol.weight_decay
    )
    code = _code(node, protocol, network)
    trained: dict[Input, tuple[Heads, Scale]] = {}
    points: list[Point] = []
    for each in inputs(protocol, has_class=network.encoder.ends_with_class):
        x, unseen = (code.of(each.of(side.vectors)) for side in (train, val))
        scale = Scale.fitted(x) if protocol.standardise else Scale.none(x)
        heads = train_heads(
            scale(x), train.y, shape.classes, protocol.rates, descent,
            init=streams.rng("head"), order=streams.rng("order"),
        )  # fmt: skip
        trained[each] = heads, scale
        scored = (scale(x), train.y), (scale(unseen), val.y)
        points += _points(each, protocol.rates, heads, *scored)
    best = _best(points)
    node.log(f"kept {best.input}, learning rate {best.lr:g}, of {len(points)} heads")
    heads, scale = trained[best.input]
    chosen = {"blocks": best.input.blocks, "average": best.input.average}
    network = build_network(node, shape, **chosen)
    assert isinstance(network, Network)
    number = protocol.rates.index(best.lr)
    _fold_in(network.head, heads, number, scale, code)
    layer = heads.weight[number].numel() + heads.bias[number].numel()
    node.attempt.note(trainable_params=layer, n_train=len(train.y))
    _write_curves(node, protocol, heads.losses[:, number], best, len(train.y))
    _write_grid(node, points, len(train.y), len(val.y))
    save_model(node, network, lr=best.lr, chosen=chosen)


def inputs(protocol: LinearProbe, *, has_class: bool) -> list[Input]:
    """Return what heads are to see; without a class token the mean is in already."""
    averages = protocol.average if has_class and protocol.output is None else (False,)
    return [Input(n, average) for n in protocol.joined for average in averages]


class Scale(NamedTuple):
    """(x - mean) / std, feature by feature."""

    mean: Tensor
    std: Tensor

    @classmethod
    def fitted(cls, x: Tensor) -> Scale:
        """Take mean and deviation of training features (n, C)."""
        std = x.std(dim=0, correction=0).clamp(min=_SMALLEST_STD)
        return cls(x.mean(dim=0), std)

    @classmethod
    def none(cls, x: Tensor) -> Scale:
        """Leave features as they are."""
        return cls(x.new_zeros(x.shape[1]), x.new_ones(x.shape[1]))

    def __call__(self, x: Tensor) -> Tensor:
        """Scale features (n, C)."""
        return (x - self.mean) / self.std


class Code(NamedTuple):
    """A linear map of image vectors to what heads see; None: the vectors themselves."""

    matrix: Tensor | None
    shift: Tensor

    def of(self, x: Tensor) -> Tensor:
        """Return the codes (n, O) of vectors (n, C)."""
        return x if self.matrix is None else x @ self.matrix.T + self.shift


def _code(node: Node, protocol: LinearProbe, network: Adapted) -> Code:
    """Return the named output of the method; of channels that pass alone, of each.

    Raises DataError where the method keeps none of that name.
    """
    if protocol.output is None:
        return Code(None, torch.zeros(()))
    source = node.identity["inputs"].get(INPUT)
    if source is None:
        msg = (
            f"output {protocol.output!r}: this method is not pretrained, so it keeps no "
            "head: say which protocols it is run with ('protocols: [..]')"
        )
        raise DataError(msg)
    head = named_output(node.store, str(source), protocol.output)
    alone = [head.weight.detach()] * network.separate
    matrix: Tensor = torch.block_diag(*alone)  # type: ignore[no-untyped-call]
    shift = torch.zeros(len(head.weight)) if head.bias is None else head.bias.detach()
    return Code(matrix, shift.repeat(network.separate))


Cases = tuple[Tensor, Tensor]  # what heads see (n, C), and classes (n,)


def _points(
    each: Input, rates: tuple[float, ...], heads: Heads, train: Cases, val: Cases
) -> list[Point]:
    """Score the heads of one input on both sides."""
    seen, unseen = (heads.logits(x) for x, _ in (train, val))
    points = []
    for number, lr in enumerate(rates):
        score, loss = validation(unseen[number], val[1])
        fitted, _ = validation(seen[number], train[1])
        points.append(Point(each, lr, score, loss, fitted))
    return points


def _best(points: list[Point]) -> Point:
    """Return the point that is best on validation: by AUC, and by loss where that ties.

    Raises Diverged where no head stayed finite.
    """

    def rank(point: Point) -> tuple[float, float]:
        return (-float("inf") if point.score is None else point.score, -point.loss)

    best = max(points, key=rank)
    if best.loss == float("inf"):
        msg = (
            "every learning rate of the linear probe diverged: add smaller ones to 'lr'"
        )
        raise Diverged(msg)
    return best


def _fold_in(
    head: LinearHead, heads: Heads, number: int, scale: Scale, code: Code
) -> None:
    """Give `head` the chosen layer for image vectors as they are."""
    weight = heads.weight[number].double() / scale.std.double()
    bias = heads.bias[number].double() - weight @ scale.mean.double()
    if code.matrix is not None:
        bias += weight @ code.shift.double()
        weight = weight @ code.matrix.double()
    with torch.no_grad():
        head.linear.weight.copy_(weight)
        head.linear.bias.copy_(bias)


def _write_curves(
    node: Node, protocol: LinearProbe, losses: Tensor, best: Point, cases: int
) -> None:
    """Write the loss of the head that was kept, and its validation."""
    curves = Curves(node.key, protocol.steps, per_epoch=cases / protocol.batch)
    for step, value in enumerate(losses.tolist()):
        curves.train(step, {"loss": value})
    curves.val(protocol.steps, {"score": best.score, "loss": best.loss})
    curves.write(node.attempt.path("curves.parquet"))


def _write_grid(node: Node, points: list[Point], n_train: int, n_val: int) -> None:
    """Write what each point scored: a layer is an input, a quantity names the rate."""
    rows: list[Measured] = []
    for point in points:
        layer, at = str(point.input), f"lr={point.lr:g}"
        loss = None if point.loss == float("inf") else point.loss
        rows += [
            Measured(layer, f"val auc {at}", point.score, n_val),
            Measured(layer, f"val loss {at}", loss, n_val),
            Measured(layer, f"train auc {at}", point.train_score, n_train),
        ]
    write_features(node, rows)


IMPLEMENTATION = Implementation(linear_probe, ProbePredictor, keeps=keep_gap)
