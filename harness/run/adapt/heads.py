"""Many linear heads on the same features, trained together and each as if alone.

Heads differ in their learning rate; all start from the same weights and see the same
batches. The gradient of a linear layer's weights is a sum of the batch's features, so
its weights stay among those features' combinations: W = c W_0 + A X. Where there are
fewer cases than features, A is smaller than W, and a step costs a product with the
cases' Gram matrix instead of one with the features. In exact arithmetic both ways give
the same numbers; which one is taken follows from the shape of X alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...nn.schedule import cosine_with_warmup

INIT_STD = 0.01  # METHODS 2.5


@dataclass(frozen=True)
class Descent:
    """SGD with momentum, its rate a cosine to 0 (METHODS 2.5)."""

    steps: int
    batch: int
    momentum: float
    weight_decay: float


@dataclass(frozen=True)
class Heads:
    """One linear layer per rate: weight (L, K, C), bias (L, K); losses (steps, L)."""

    weight: Tensor
    bias: Tensor
    losses: Tensor

    def logits(self, x: Tensor) -> Tensor:
        """x: (n, C). Returns (L, n, K)."""
        return torch.einsum("lkc,nc->lnk", self.weight, x) + self.bias[:, None]


def train_heads(
    x: Tensor,
    y: Tensor,
    classes: int,
    rates: Sequence[float],
    descent: Descent,
    *,
    init: torch.Generator,
    order: torch.Generator,
) -> Heads:
    """Train one linear layer per learning rate.

    x: (n, C) features; y: (n,) classes. Batches are drawn from `order`, with replacement.
    """
    n, width = x.shape
    rows = torch.randint(n, (descent.steps, descent.batch), generator=order)
    first = (torch.randn(classes, width, generator=init) * INIT_STD).to(x.dtype)
    start = x @ first.T  # (n, K): the logits of the first weights
    if n < width:
        found, kept, bias, losses = _descend(
            x @ x.T, start, F.one_hot(y, classes).to(x.dtype), rows, rates, descent,
            in_samples=True,
        )  # fmt: skip
        weight = torch.einsum("nlk,nc->lkc", found, x)
    else:
        found, kept, bias, losses = _descend(
            x, start, F.one_hot(y, classes).to(x.dtype), rows, rates, descent,
            in_samples=False,
        )  # fmt: skip
        weight = found.permute(1, 2, 0)
    return Heads(weight + kept.view(-1, 1, 1) * first, bias, losses)


def _descend(
    basis: Tensor,
    start: Tensor,
    targets: Tensor,
    rows: Tensor,
    rates: Sequence[float],
    descent: Descent,
    *,
    in_samples: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Take all steps; return (D, L, K) weights, (L,) shares of W_0, bias and losses.

    basis: what a case's row of logits is a product with, (n, D): features, or the Gram
    matrix, where weights are those of cases. start: (n, K); targets: (n, K), one-hot.
    """
    count, classes = len(rates), start.shape[1]
    speeds = torch.tensor(rates, dtype=basis.dtype)
    weight = basis.new_zeros(basis.shape[1], count * classes)
    moving = torch.zeros_like(weight)
    bias = basis.new_zeros(count, classes)
    bias_moving = torch.zeros_like(bias)
    kept, kept_moving = basis.new_ones(count), basis.new_zeros(count)
    decay, momentum = descent.weight_decay, descent.momentum
    losses = basis.new_empty(len(rows), count)
    for step, batch in enumerate(rows):
        seen, target = basis[batch], targets[batch][:, None]
        logits = (seen @ weight).view(-1, count, classes) + bias
        logits += (
            start[batch][:, None] * kept[:, None] if decay else start[batch][:, None]
        )
        log_p = logits.log_softmax(dim=-1)  # (B, L, K)
        losses[step] = -(log_p * target).sum(dim=-1).mean(dim=0)
        # Gradient of the mean cross-entropy: softmax - one-hot, over the batch size.
        error = (log_p.exp() - target) / len(batch)
        flat = error.view(len(batch), -1)
        moving *= momentum
        bias_moving.mul_(momentum).add_(error.sum(dim=0))
        if decay:
            moving.add_(weight, alpha=decay)
            bias_moving.add_(bias, alpha=decay)
            kept_moving.mul_(momentum).add_(kept, alpha=decay)
        if in_samples:
            moving.index_add_(0, batch, flat)
        else:
            moving.addmm_(seen.T, flat)
        rate = speeds * cosine_with_warmup(step, len(rows), 0)
        weight.view(-1, count, classes).addcmul_(
            moving.view(-1, count, classes), rate[:, None], value=-1
        )
        bias.addcmul_(bias_moving, rate[:, None], value=-1)
        kept.addcmul_(kept_moving, rate, value=-1)
    return weight.view(-1, count, classes), kept, bias, losses
