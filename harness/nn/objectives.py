"""Losses of labelled training."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from . import collective
from .losses import full_precision

_SMOOTH = 1e-5  # MONAI's default, in numerator and denominator


def dice_ce(logits: Tensor, labels: Tensor) -> Tensor:
    """Return soft Dice loss plus cross-entropy (METHODS 2.1).

    logits: (B, K, D, H, W); labels: (B, D, H, W) in [0, K). The Dice term sums over the
    whole batch, so that a structure that one crop misses does not count as lost,
    squares its denominator and includes background: MONAI's
    DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True, batch=True). Returns
    ().
    """
    target = labels.long()
    log_p = full_precision(logits).log_softmax(dim=1)
    p = log_p.exp()
    g = F.one_hot(target, logits.shape[1]).movedim(-1, 1).to(p.dtype)
    over = (0, *range(2, logits.ndim))
    # g is 0 or 1, its own square. The batch may lie on several ranks.
    overlap = collective.sum_over_ranks((p * g).sum(over))
    size = collective.sum_over_ranks(p.square().sum(over) + g.sum(over))
    dice = (2 * overlap + _SMOOTH) / (size + _SMOOTH)
    return (1 - dice).mean() + F.nll_loss(log_p, target)
