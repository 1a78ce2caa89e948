"""Losses of labelled training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
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
    g = F.one_hot(target, logits.shape[1]).movedim(-1, 1).to(log_p.dtype)
    return _soft_dice(log_p.exp(), g) + F.nll_loss(log_p, target)


def region_dice(
    logits: Tensor, labels: Tensor, regions: Sequence[Sequence[int]]
) -> Tensor:
    """Return soft Dice loss of regions that may overlap, with sigmoids (METHODS 2.3).

    logits: (B, R, *sides), one per region; labels: (B, *sides) of structures; regions:
    the label values of each region. Sums and squares as in `dice_ce`: MONAI's
    DiceLoss(sigmoid=True, squared_pred=True, batch=True) of the R masks. Returns ().
    """
    p = full_precision(logits).sigmoid()
    return _soft_dice(p, region_masks(labels, regions).to(p.dtype))


def region_masks(labels: Tensor, regions: Sequence[Sequence[int]]) -> Tensor:
    """Return which voxels lie in each region: bool (B, R, *sides) of (B, *sides)."""
    table = torch.zeros((256, len(regions)), dtype=torch.bool)  # labels are uint8
    for region, values in enumerate(regions):
        table[list(values), region] = True
    return table.to(labels.device)[labels.long()].movedim(-1, 1)


def share_ce(
    logits: Tensor, shares: Tensor, weights: Tensor, *, regions: bool
) -> Tensor:
    """Return the weighted mean cross-entropy of tokens that are structures in part.

    logits: (n, K); shares: (n, K) in [0, 1], what classes have of a token's voxels;
    weights: (K,) of classes, as cross_entropy has them. Of `regions`, which may overlap,
    each is told from the rest by itself with a sigmoid, and weights are (2, K), outside
    and inside. Convex in the logits. All tokens have to be here: nothing is summed over
    ranks. Returns ().
    """
    if not regions:
        weighted = shares * weights
        return -(weighted * logits.log_softmax(dim=1)).sum() / weighted.sum()
    outside, inside = (1 - shares) * weights[0], shares * weights[1]
    losses = F.softplus(logits) * outside + F.softplus(-logits) * inside
    return losses.sum() / (outside + inside).sum()


def _soft_dice(p: Tensor, g: Tensor) -> Tensor:
    """Return 1 - Dice, mean over channels; p in [0, 1] and g 0 or 1, (B, K, *sides)."""
    over = (0, *range(2, p.ndim))
    # g is 0 or 1, its own square. The batch may lie on several ranks.
    overlap = collective.sum_over_ranks((p * g).sum(over))
    size = collective.sum_over_ranks(p.square().sum(over) + g.sum(over))
    dice = (2 * overlap + _SMOOTH) / (size + _SMOOTH)
    return (1 - dice).mean()
