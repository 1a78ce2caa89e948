"""One linear layer on the tokens of a frozen encoder, fitted by L-BFGS.

The fit is of the training tokens, all at once; the penalty is the one whose layer has
the least loss on the tokens of the validation cases. Losses of every penalty are in
features.parquet, the validation Dice of the chosen one in curves.parquet.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...nn.objectives import share_ce
from ...schema.protocols import PatchProbe as Settings
from .. import ranks
from ..curves import Curves
from ..measured import Measured, write_features
from ..networks import Shape
from ..node import Node
from ..probes import PatchProbe
from .finetune import validate_segmentation
from .implementation import Implementation
from .start import build_network, protocol_of, save_model, streams_of
from .tokens import Tokens, tokens_of


class Fit(NamedTuple):
    """A layer on standardised features: weight (K, C), bias (K,), its training loss."""

    weight: Tensor
    bias: Tensor
    loss: float


def patch_probe(node: Node) -> None:
    """Compute an adapt node of protocol `patch_probe` into its attempt's folder."""
    protocol = protocol_of(node)
    assert isinstance(protocol, Settings)
    shape = Shape.of(node.identity["settings"])
    data = node.data()
    train, val = (data.check(node.where["cases"][side]) for side in ("train", "val"))
    network = build_network(node, shape).eval()
    assert isinstance(network, PatchProbe)
    rng = streams_of(node).rng("order")
    seen, unseen = (
        tokens_of(node, data, ids, network, shape, most=protocol.tokens, rng=rng)
        for ids in (train, val)
    )
    node.log(f"{len(seen.features)} tokens of {len(train)} cases")
    # Of a constant feature nothing is left, whatever batch norm's epsilon makes of it.
    mean, var = seen.features.mean(dim=0), seen.features.var(dim=0, correction=0)
    eps = network.decoder.eps
    seen, unseen = (_scaled(each, mean, var, eps) for each in (seen, unseen))
    fits: dict[float, Fit] = {}
    losses: dict[float, float] = {}
    weights = class_weights(seen.shares, regions=bool(shape.regions))
    last: Fit | None = None
    for penalty in sorted(
        protocol.penalties, reverse=True
    ):  # each goes on from the last
        last = fit(seen, penalty, protocol.iterations, weights, start=last)
        fits[penalty] = last
        losses[penalty] = _loss(unseen, last, weights)
    best = min(losses, key=lambda penalty: (losses[penalty], -penalty))
    node.log(f"kept penalty {best:g} of {', '.join(f'{each:g}' for each in losses)}")
    network.decoder.take(mean, var, fits[best].weight, fits[best].bias)
    found = validate_segmentation(node, data, val, shape, network, protocol)
    node.attempt.note(
        trainable_params=fits[best].weight.numel() + fits[best].bias.numel(),
        n_train=len(train),
    )
    if not ranks.leads():
        return
    write_features(
        node,
        [
            row
            for penalty, own in fits.items()
            for row in (
                Measured(f"penalty {penalty:g}", "loss", own.loss, len(seen.shares)),
                Measured(
                    f"penalty {penalty:g}", "val loss", losses[penalty],
                    len(unseen.shares),
                ),
            )
        ],
    )  # fmt: skip
    curves = Curves(node.key, 1, per_epoch=1)
    curves.put("train", 1, {"loss": fits[best].loss})
    curves.val(1, {"score": found.score, "loss": found.loss})
    curves.write(node.attempt.path("curves.parquet"))
    save_model(node, network, penalty=best)


def class_weights(shares: Tensor, *, regions: bool) -> Tensor:
    """Return what a class counts: one by the root of its share of the tokens' voxels.

    shares: (n, K). Between counting voxels, for which small organs are background, and
    counting classes, for which background is full of small organs. Returns (K,), of
    regions (2, K): outside and inside.
    """
    mean = shares.mean(dim=0)
    if regions:
        mean = torch.stack([1 - mean, mean])
    return mean.clamp_min(1 / len(shares)).rsqrt()


def fit(
    tokens: Tokens,
    penalty: float,
    iterations: int,
    weights: Tensor,
    *,
    start: Fit | None = None,
) -> Fit:
    """Return the layer with the least share_ce + penalty / 2 ||weight||².

    tokens: standardised features and shares; weights: of class_weights; start: where to
    begin, 0 by default.
    """
    x, y = tokens
    weight = (start.weight if start else x.new_zeros(y.shape[1], x.shape[1])).clone()
    bias = (start.bias if start else x.new_zeros(y.shape[1])).clone()
    own = [weight.requires_grad_(), bias.requires_grad_()]
    search = torch.optim.LBFGS(
        own, max_iter=iterations, history_size=20, line_search_fn="strong_wolfe",
        tolerance_grad=1e-6, tolerance_change=1e-9,
    )  # fmt: skip

    def objective() -> Tensor:
        search.zero_grad()
        loss = share_ce(x @ weight.T + bias, y, weights, regions=weights.ndim == 2)
        total = loss + penalty / 2 * weight.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    search.step(objective)  # type: ignore[no-untyped-call]
    found = Fit(weight.detach(), bias.detach(), 0.0)
    return found._replace(loss=_loss(tokens, found, weights))


def _loss(tokens: Tokens, layer: Fit, weights: Tensor) -> float:
    """Return the loss without the penalty."""
    logits = tokens.features @ layer.weight.T + layer.bias
    return float(share_ce(logits, tokens.shares, weights, regions=weights.ndim == 2))


def _scaled(tokens: Tokens, mean: Tensor, var: Tensor, eps: float) -> Tokens:
    return Tokens((tokens.features - mean) * (var + eps).rsqrt(), tokens.shares)


IMPLEMENTATION = Implementation(patch_probe)
