"""Losses that several methods share: pure functions."""

from __future__ import annotations

import torch
from torch import Tensor

from . import collective


def full_precision(x: Tensor) -> Tensor:
    """Return x in 32 bits where autocast left it in 16, whose sums lose digits."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def masked_l1(x_hat: Tensor, x: Tensor, hidden: Tensor) -> Tensor:
    """Σ m |x - x̂| / (C Σ m): absolute error over hidden voxels only (METHODS 1.13).

    x_hat, x: (B, C, D, H, W); hidden: bool or 0/1 (B, 1, D, H, W), 1 = hidden. Returns
    (), 0 where nothing is hidden.
    """
    x_hat = full_precision(x_hat)
    weight = hidden.to(x_hat.dtype)
    total = ((x_hat - x).abs() * weight).sum()
    return total / mean_count(weight.sum() * x.shape[1])


def soft_ce(
    student_logits: Tensor, p_t: Tensor, t_s: float, weight: Tensor | None = None
) -> Tensor:
    """Cross-entropy of the student's prototypes under the teacher's (METHODS 0).

    H = -Σ_k p_t,k log softmax(z_s / t_s)_k, averaged over all positions, or over those
    that `weight` counts (divided by max(1, Σ weight), so no hidden position gives 0).
    student_logits, p_t: (..., K), p_t without gradient; weight: (...). Returns ().
    """
    log_s = torch.log_softmax(full_precision(student_logits) / t_s, dim=-1)
    entropy = -(p_t * log_s).sum(dim=-1)  # (...)
    if weight is None:
        return entropy.mean()
    weight = weight.to(entropy.dtype)
    return (entropy * weight).sum() / mean_count(weight.sum())


def mean_count(count: Tensor) -> Tensor:
    """Return the mean over ranks of what is averaged over, at least 1 in all.

    Ranks may count differently. Each divides its sum by this one number, so that the
    mean of their losses is the average over the whole batch.
    """
    total = collective.sum_over_ranks(count).clamp(min=1)
    return total / collective.world_size()
