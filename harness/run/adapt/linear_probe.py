"""Linear probe: one linear layer on cached features of a frozen encoder (METHODS 2.6).

Each case gives one feature vector, from the centre of its volume (see classify),
computed once. Features are standardised by the training subset's mean and deviation.
One layer per learning rate is trained on the same batches, none knowing of the others;
the one that is best on validation is kept, as the head of an ordinary classifier.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...metrics.classification import auc
from ...nn.heads import LinearHead
from ...nn.schedule import cosine_with_warmup
from ...schema.protocols import LinearProbe
from ..curves import Curves
from ..networks import Classifier, Shape
from ..node import Node
from ..optimise import Diverged, trainable
from .classify import pooled_features
from .implementation import Implementation
from .start import build_network, protocol_of, save_model, streams_of

_INIT_STD = 0.01  # METHODS 2.5
_SMALLEST_STD = 1e-6  # a feature that never varies stays at 0


def linear_probe(node: Node) -> None:
    """Compute an adapt node of protocol `linear_probe` into its attempt's folder."""
    protocol = protocol_of(node)
    assert isinstance(protocol, LinearProbe)
    shape = Shape.of(node.identity["settings"])
    data = node.data()
    network = build_network(node, shape)
    assert isinstance(network, Classifier)
    network.freeze_encoder()
    x, y = {}, {}
    for side in ("train", "val"):
        ids = data.check(node.where["cases"][side])
        x[side] = pooled_features(node, data, ids, shape, network, batch=protocol.batch)
        y[side] = torch.tensor([data.target(case_id) for case_id in ids])
    mean, std = x["train"].mean(dim=0), x["train"].std(dim=0, correction=0)
    std = std.clamp(min=_SMALLEST_STD)
    scaled = {side: (features - mean) / std for side, features in x.items()}
    node.attempt.note(trainable_params=trainable(network), n_train=len(y["train"]))
    curves = Curves(
        node.key, protocol.steps, per_epoch=len(y["train"]) / protocol.batch
    )
    streams = streams_of(node)
    heads = train_heads(
        scaled["train"], y["train"], shape.classes, protocol,
        init=streams.rng("head"), order=streams.rng("order"), curves=curves,
    )  # fmt: skip
    best = _best(heads, scaled["val"], y["val"], protocol, curves)
    node.log(f"kept learning rate {protocol.lr[best]}")
    _fold_in(network.head, heads, best, mean.double(), std.double())
    curves.write(node.attempt.path("curves.parquet"))
    save_model(node, network, lr=protocol.lr[best])


Heads = tuple[Tensor, Tensor]  # weights (L, K, C) and biases (L, K), one per rate


def train_heads(
    x: Tensor,
    y: Tensor,
    classes: int,
    protocol: LinearProbe,
    *,
    init: torch.Generator,
    order: torch.Generator,
    curves: Curves | None = None,
) -> Heads:
    """Train one linear layer per learning rate by SGD with momentum, cosine to 0.

    x: (n, C) standardised features; y: (n,) classes. Every layer starts from the same
    weights and sees the same batches, drawn with replacement, and its gradient is its
    own: each ends as if it had been trained alone. Raises Diverged where no layer stays
    finite.
    """
    rates = torch.tensor(protocol.lr, dtype=x.dtype)
    first = torch.randn(classes, x.shape[1], generator=init) * _INIT_STD
    weight = first.to(x.dtype).repeat(len(rates), 1, 1)
    bias = x.new_zeros(len(rates), classes)
    moving = [torch.zeros_like(weight), torch.zeros_like(bias)]
    for step in range(protocol.steps):
        rows = torch.randint(len(y), (protocol.batch,), generator=order)
        batch, target = x[rows], F.one_hot(y[rows], classes).to(x.dtype)
        logits = torch.einsum("lkc,bc->lbk", weight, batch) + bias[:, None]
        log_p = logits.log_softmax(dim=-1)
        # Gradient of the mean cross-entropy: softmax - one-hot, over the batch size.
        error = (log_p.exp() - target) / len(rows)
        slopes = (torch.einsum("lbk,bc->lkc", error, batch), error.sum(dim=1))
        rate = rates * cosine_with_warmup(step, protocol.steps, 0)
        for value, slope, moved in zip((weight, bias), slopes, moving, strict=True):
            moved.mul_(protocol.momentum).add_(slope + protocol.weight_decay * value)
            value.sub_(rate.view(-1, *[1] * (value.ndim - 1)) * moved)
        if curves is not None:
            losses = -(log_p * target).sum(dim=-1).mean(dim=-1)
            named = zip(protocol.lr, losses.tolist(), strict=True)
            curves.train(step, {f"loss lr={lr:g}": value for lr, value in named})
    if not weight.isfinite().flatten(1).all(dim=1).any():
        msg = (
            "every learning rate of the linear probe diverged: add smaller ones to 'lr'"
        )
        raise Diverged(msg)
    return weight, bias


def _best(
    heads: Heads, x: Tensor, y: Tensor, protocol: LinearProbe, curves: Curves
) -> int:
    """Return which rate is best on validation: by AUC, and by loss where that ties."""
    ranks = []
    for index, lr in enumerate(protocol.lr):
        logits = x @ heads[0][index].T + heads[1][index]
        if not logits.isfinite().all():
            ranks.append((-float("inf"), -float("inf")))
            continue
        score = auc(y.numpy(), logits.softmax(dim=1).numpy()).value
        loss = float(F.cross_entropy(logits, y))
        curves.val(protocol.steps, {f"score lr={lr:g}": score, f"loss lr={lr:g}": loss})
        ranks.append((-float("inf") if score is None else score, -loss))
    return max(range(len(ranks)), key=ranks.__getitem__)


def _fold_in(
    head: LinearHead, heads: Heads, index: int, mean: Tensor, std: Tensor
) -> None:
    """Give `head` the chosen layer for features that are not standardised."""
    weight = heads[0][index].double() / std
    bias = heads[1][index].double() - weight @ mean
    with torch.no_grad():
        head.linear.weight.copy_(weight)
        head.linear.bias.copy_(bias)


IMPLEMENTATION = Implementation(linear_probe)
